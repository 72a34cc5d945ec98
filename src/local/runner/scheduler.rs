//! The one node's slots: cpu, memory and GPUs. PURE.

use super::quantity::Quantity;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// The resource by which pods ask for GPUs.
pub const GPU: &str = "nvidia.com/gpu";

/// Pods on one node at a time, as a kubelet allows by default.
const MAX_PODS: usize = 110;

/// What the node offers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Capacity {
    /// Thousandths of a core.
    pub cpu_milli: i64,
    /// Bytes.
    pub memory: i64,
    /// What `CUDA_VISIBLE_DEVICES` calls each GPU: an index or a UUID.
    pub gpus: Vec<String>,
}

/// What a pod asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// Thousandths of a core.
    pub cpu_milli: i64,
    /// Bytes.
    pub memory: i64,
    /// Whole GPUs.
    pub gpus: usize,
    /// Resources that this machine never has, such as `amd.com/gpu`.
    pub others: BTreeSet<String>,
}

/// The pods that hold a slot.
#[derive(Debug, Default)]
pub struct Slots {
    capacity: Capacity,
    taken: BTreeMap<String, Taken>,
}

#[derive(Debug)]
struct Taken {
    request: Request,
    gpus: Vec<String>,
}

/// Why a resource list is not one: the resource, and a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadResource {
    /// `limits` or `requests`, then the resource.
    pub field: String,
    /// What to write instead.
    pub sentence: String,
}

impl Request {
    /// Reads `resources` of a container. As in Kubernetes a limit is also the request where no request is given.
    ///
    /// # Errors
    /// Names the quantity that is none, is negative, or is a fraction of a device.
    pub fn of(resources: &Value) -> Result<Self, BadResource> {
        let mut request = Self::default();
        for list in ["limits", "requests"] {
            let Some(quantities) = resources.get(list).and_then(Value::as_object) else { continue };
            for (name, value) in quantities {
                let bad =
                    |sentence: &str| BadResource { field: format!("{list}[{name}]"), sentence: sentence.to_owned() };
                let quantity = Quantity::parse(value)
                    .filter(|quantity| quantity.milli() >= 0)
                    .ok_or_else(|| bad("is not a quantity; write a number such as 2, 500m or 4Gi"))?;
                match name.as_str() {
                    "cpu" => request.cpu_milli = quantity.milli(),
                    "memory" => request.memory = quantity.units(),
                    "ephemeral-storage" => {}
                    GPU => {
                        let whole = quantity.whole().and_then(|gpus| usize::try_from(gpus).ok());
                        request.gpus = whole.ok_or_else(|| bad("must be a whole number of GPUs"))?;
                    }
                    _ if quantity.milli() > 0 => {
                        request.others.insert(name.clone());
                    }
                    _ => {}
                }
            }
        }
        Ok(request)
    }

    /// The first resources that are missing, in the order and the words of kube-scheduler. Empty: it fits.
    fn missing(&self, pods: usize, cpu_milli: i64, memory: i64, gpus: usize) -> Vec<String> {
        let mut missing: Vec<String> = self.others.iter().map(|name| format!("Insufficient {name}")).collect();
        let mut need = |absent: bool, name: &str| {
            if absent {
                missing.push(format!("Insufficient {name}"));
            }
        };
        need(self.cpu_milli > cpu_milli, "cpu");
        need(self.memory > memory, "memory");
        need(self.gpus > gpus, GPU);
        if pods >= MAX_PODS {
            missing.push("Too many pods".to_owned());
        }
        missing.sort();
        missing
    }
}

impl Slots {
    /// All slots free.
    pub fn new(capacity: Capacity) -> Self {
        Self { capacity, taken: BTreeMap::new() }
    }

    /// Gives a pod its slot and names its GPUs. A pod that holds one already keeps it.
    ///
    /// # Errors
    /// The message of a `PodScheduled` condition, in kube-scheduler's words; where the pod can never fit, with a
    /// sentence more.
    pub fn take(&mut self, uid: &str, request: &Request) -> Result<Vec<String>, String> {
        if let Some(taken) = self.taken.get(uid) {
            return Ok(taken.gpus.clone());
        }
        let free: Vec<String> = self.free_gpus().cloned().collect();
        let used =
            |amount: fn(&Request) -> i64| -> i64 { self.taken.values().map(|taken| amount(&taken.request)).sum() };
        let cpu = self.capacity.cpu_milli.saturating_sub(used(|request| request.cpu_milli));
        let memory = self.capacity.memory.saturating_sub(used(|request| request.memory));
        let missing = request.missing(self.taken.len(), cpu, memory, free.len());
        if !missing.is_empty() {
            return Err(self.unschedulable(request, &missing));
        }
        let gpus: Vec<String> = free.into_iter().take(request.gpus).collect();
        self.taken.insert(uid.to_owned(), Taken { request: request.clone(), gpus: gpus.clone() });
        Ok(gpus)
    }

    /// Frees a pod's slot. Returns whether it held one.
    pub fn free(&mut self, uid: &str) -> bool {
        self.taken.remove(uid).is_some()
    }

    /// What the node offers in all.
    pub fn capacity(&self) -> &Capacity {
        &self.capacity
    }

    fn free_gpus(&self) -> impl Iterator<Item = &String> {
        let held: BTreeSet<&String> = self.taken.values().flat_map(|taken| &taken.gpus).collect();
        self.capacity.gpus.iter().filter(move |gpu| !held.contains(gpu))
    }

    fn unschedulable(&self, request: &Request, missing: &[String]) -> String {
        let each: Vec<String> = missing.iter().map(|what| format!("1 {what}")).collect();
        let mut message = format!("0/1 nodes are available: {}.", each.join(", "));
        let Capacity { cpu_milli, memory, gpus } = &self.capacity;
        let never = request.missing(0, *cpu_milli, *memory, gpus.len());
        if !never.is_empty() {
            let cores = *cpu_milli as f64 / 1000.0;
            let offer = format!("cpu {cores}, memory {}Mi, {GPU} {}", memory / (1 << 20), gpus.len());
            message.push_str(&format!(" This machine offers {offer}: the pod can never start here."));
        }
        message
    }
}

impl Capacity {
    /// `status.capacity` and `status.allocatable` of the Node.
    pub fn to_json(&self) -> Value {
        json!({
            "cpu": format!("{}m", self.cpu_milli),
            "memory": format!("{}Ki", self.memory / 1024),
            "pods": MAX_PODS.to_string(),
            GPU: self.gpus.len().to_string(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn capacity() -> Capacity {
        Capacity { cpu_milli: 4000, memory: 8 << 30, gpus: vec!["0".into(), "GPU-b".into()] }
    }

    #[test]
    fn requests_are_read_as_kubernetes_reads_them() {
        let read = |resources: Value| Request::of(&resources);
        let request = read(json!({"limits": {"cpu": "2", GPU: "1", "amd.com/gpu": 0}, "requests": {"cpu": "500m"}}));
        assert_eq!(request, Ok(Request { cpu_milli: 500, gpus: 1, ..Request::default() }));
        assert_eq!(read(json!({"limits": {"memory": "1Gi"}})), Ok(Request { memory: 1 << 30, ..Request::default() }));
        assert_eq!(read(json!({})), Ok(Request::default()));
        for (resources, field) in [
            (json!({"limits": {"cpu": "a lot"}}), "limits[cpu]"),
            (json!({"requests": {"memory": -1}}), "requests[memory]"),
            (json!({"limits": {GPU: "500m"}}), "limits[nvidia.com/gpu]"),
        ] {
            assert_eq!(read(resources).unwrap_err().field, field);
        }
    }

    #[test]
    fn gpus_are_given_exclusively_and_come_back() {
        let mut slots = Slots::new(capacity());
        let one = Request { gpus: 1, ..Request::default() };
        assert_eq!(slots.take("a", &one), Ok(vec!["0".to_owned()]));
        assert_eq!(slots.take("b", &one), Ok(vec!["GPU-b".to_owned()]));
        assert_eq!(slots.take("a", &one), Ok(vec!["0".to_owned()]), "a pod keeps its slot");
        assert_eq!(slots.take("c", &one), Err("0/1 nodes are available: 1 Insufficient nvidia.com/gpu.".to_owned()));
        assert!(slots.free("a"));
        assert!(!slots.free("a"));
        assert_eq!(slots.take("c", &one), Ok(vec!["0".to_owned()]));
    }

    #[test]
    fn says_what_is_missing() {
        let with = |cpu_milli, memory, gpus| Request { cpu_milli, memory, gpus, ..Request::default() };
        let mut slots = Slots::new(capacity());
        slots.take("first", &with(3000, 7 << 30, 0)).unwrap();
        let busy = |what: &str| format!("0/1 nodes are available: {what}.");
        let never = " This machine offers cpu 4, memory 8192Mi, nvidia.com/gpu 2: the pod can never start here.";
        for (request, message) in [
            (with(1001, 0, 0), busy("1 Insufficient cpu")),
            (with(4000, 2 << 30, 0), busy("1 Insufficient cpu, 1 Insufficient memory")),
            (with(0, 0, 3), busy("1 Insufficient nvidia.com/gpu") + never),
            (
                Request { others: ["amd.com/gpu".to_owned()].into(), ..with(2000, 0, 0) },
                busy("1 Insufficient amd.com/gpu, 1 Insufficient cpu") + never,
            ),
        ] {
            assert_eq!(slots.take("next", &request), Err(message));
        }
        assert_eq!(slots.take("next", &with(1000, 1 << 30, 0)), Ok(vec![]));
    }

    #[test]
    fn holds_no_more_pods_than_a_kubelet() {
        let mut slots = Slots::new(capacity());
        for index in 0..MAX_PODS {
            slots.take(&index.to_string(), &Request::default()).unwrap();
        }
        let message = slots.take("more", &Request::default()).unwrap_err();
        assert_eq!(message, "0/1 nodes are available: 1 Too many pods.");
    }
}
