//! Lines of real programs, and what comes out.

use super::*;
use proptest::prelude::*;

/// Each observation as `name@step=value`, after the lines that came before.
fn read(parser: &mut LineParser, text: &str) -> String {
    let observations = parser.parse(text.as_bytes(), Timestamp::UNIX_EPOCH);
    let shown = observations.into_iter().map(|observation| {
        let step = observation.step.map_or(String::new(), |step| format!("@{step}"));
        format!("{}{step}={}", observation.metric, observation.value)
    });
    shown.collect::<Vec<_>>().join(" ")
}

/// A table of lines, each with all that it says.
fn check(table: &[(&str, &str)]) {
    let mut parser = LineParser::all();
    for (line, expected) in table {
        assert_eq!(read(&mut parser, line), *expected, "{line}");
    }
}

/// What lines say of these metrics.
fn wanted(names: &[&str], lines: &[&str]) -> String {
    let mut parser = LineParser::new(names.iter().map(|name| (*name).to_owned()));
    let found = lines.iter().map(|line| read(&mut parser, line)).filter(|found| !found.is_empty());
    found.collect::<Vec<_>>().join(" ")
}

#[test]
fn by_hand() {
    check(&[
        ("accuracy = 0.5", "accuracy=0.5"),
        ("(loss=0.5)", "loss=0.5"),
        ("loss=nan acc=-inf", "loss=NaN acc=-inf"),
        ("epoch=3 accuracy=0.93 loss=0.21", "accuracy@3=0.93 loss@3=0.21"),
        ("mAP50 = 0.9", "mAP50@3=0.9"),
        ("Epoch: 4, loss: 0.12345, Train accuracy: 0.98", "loss@4=0.12345 Train accuracy@4=0.98"),
        ("Epoch 5/10 - loss=0.31 acc=91.2%", "loss@5=0.31 acc@5=91.2"),
        ("epoch [6/10]: loss 0.25", "loss@6=0.25"),
        ("step 100: train loss 2.31, val loss 2.40", "train loss@100=2.31 val loss@100=2.4"),
        ("Round 7", ""),
        ("Test accuracy: 0.9", "Test accuracy@7=0.9"),
        ("[8] loss=0.5", "loss@8=0.5"),
        ("epoch=1.5 loss=2", "loss=2"),
        ("accuracy=1", "accuracy=1"),
        ("step=1,000 loss=0.3", "loss@1000=0.3"),
        ("step 12,345,678: loss=0.3", "loss@12345678=0.3"),
        ("step=10, loss=1e-3, accuracy=-2.5E+1", "loss@10=0.001 accuracy@10=-25"),
        ("loss: .5; acc: 5.", "loss@10=0.5 acc@10=5"),
        ("loss=0,25 acc=0,5", "loss@10=0.25 acc@10=0.5"),
        ("Accuracy:93% port:93", "Accuracy@10=93"),
        ("loss=1'234.5 best=1\u{202f}234,5 size=1\u{a0}234", "loss@10=1234.5 best@10=1234.5 size@10=1234"),
        ("دقت=۰٫۹۳", "دقت@10=0.93"),
        ("2026-01-01 10:00:00,123 - root - INFO - Epoch 11: val_loss = 0.5", "val_loss@11=0.5"),
        ("[12:30:01] INFO loss=0.5.", "loss@11=0.5"),
        ("INFO:train:loss: 0.5", "loss@11=0.5"),
        ("ts=2026-01-01T10:00:00Z level=info msg=\"epoch done\" epoch=12 loss=0.25", "loss@12=0.25"),
        ("{metricName: accuracy, metricValue: 0.9}", "accuracy@12=0.9"),
        ("\u{1b}[32mloss\u{1b}[0m: \u{1b}[1m0.5\u{1b}[0m", "loss@12=0.5"),
        (" * Acc@1 76.130 Acc@5 92.862", "Acc@1@12=76.13 Acc@5@12=92.862"),
    ]);
}

#[test]
fn json_and_dictionaries() {
    check(&[
        (r#"{"epoch": 2, "accuracy": 0.5, "note": "x"}"#, "accuracy@2=0.5"),
        (r#"{"step": 7, "loss": "0.25"}"#, "loss@7=0.25"),
        (r#"{"loss": NaN, "x": [NaN, "}"], "acc": -Infinity}"#, "acc@7=-inf loss@7=NaN"),
        (r#"{"eval": {"loss": 1}} {}"#, "eval.loss@7=1"),
        (r#"{"loss": Nan, "acc": 1}"#, "loss@7=NaN acc@7=1"),
        (r#"epoch=8 {"loss": 1} then {"acc": 0.5}, val/acc=3"#, "loss@8=1 acc@8=0.5 val/acc@8=3"),
        ("{'loss': '1.234', 'grad_norm': '0.5678', 'epoch': '0.125'}", "loss=1.234 grad_norm=0.5678"),
        ("{'eval_loss': 1.1, 'eval_f1': np.float64(0.81), 'epoch': 2.0}", "eval_loss@2=1.1 eval_f1@2=0.81"),
        ("{'loss': tensor(0.5, device='cuda:0')}", "loss@2=0.5"),
        (r#"{"log":"epoch=9 loss=0.5\n","stream":"stdout","time":"2026-01-01T10:00:00Z"}"#, "loss@9=0.5"),
        (r#"{"metricName": "accuracy", "objective": 0.9, "step": 10}"#, "accuracy@10=0.9"),
        (
            r#"2026-01-01 10:00:00 | INFO | train | {"epoch": 1, "train_loss": "5.2", "train_num_updates": "100"}"#,
            "train_loss@1=5.2",
        ),
        ("2026-01-01T10:00:00.123456789Z stdout F {\"epoch\": 2, \"loss\": 1}", "loss@2=1"),
    ]);
}

#[test]
fn frameworks() {
    // Keras 3 and 2: what a bar shows half-way is a mean so far, and the last drawing comes twice.
    check(&[
        ("Epoch 3/10", ""),
        (
            "\u{1b}[1m  1/100\u{1b}[0m \u{1b}[37m━━━━\u{1b}[0m \u{1b}[1m12s\u{1b}[0m 120ms/step - accuracy: 1.0000 - loss: 0.4321",
            "",
        ),
        (
            "\u{8}\u{8}\u{8}\r100/100 ━━━━ 12s 120ms/step - accuracy: 0.8123 - loss: 0.4321",
            "accuracy@3=0.8123 loss@3=0.4321",
        ),
        ("100/100 ━━━━ 12s 120ms/step - accuracy: 0.8123 - loss: 0.4321 - val_loss: 0.4567", "val_loss@3=0.4567"),
        ("Epoch 4/10", ""),
        (" 1/50 [>.............................] - ETA: 4s - loss: 0.9", ""),
        (
            "50/50 [==============================] - 5s 100ms/step - loss: 0.0654 - lr: 0.0010",
            "loss@4=0.0654 lr@4=0.001",
        ),
        ("Epoch 4: val_loss improved from inf to 0.07650, saving model to best.keras", ""),
        ("Epoch 4: val_loss did not improve from 0.07650", ""),
    ]);
    // Lightning.
    check(&[
        ("Epoch 4:  50%|███▌   | 100/200 [00:05<00:05, 20.00it/s, v_num=0, train_loss_step=0.9]", ""),
        (
            "Epoch 4: 100%|███████| 200/200 [00:10<00:00, 20.00it/s, v_num=0, train_loss_step=0.987, valid_acc=0.912]",
            "v_num@4=0 train_loss_step@4=0.987 valid_acc@4=0.912",
        ),
        (
            "Epoch 5/9 ━━━━━━━━ 200/200 0:00:10 • 0:00:00 20.00it/s v_num: 0.000 train_loss: 0.98",
            "v_num@5=0 train_loss@5=0.98",
        ),
        (
            "Epoch 3, global step 400: 'val_loss' reached 0.21345 (best 0.21345), saving model to 'epoch=3-val_loss=0.21.ckpt'",
            "",
        ),
        ("│         test_acc          │    0.9375000000000000     │", "test_acc@3=0.9375"),
    ]);
    // Hugging Face: dictionaries behind a bar, and the block at the end.
    check(&[
        (" 10%|█         | 50/500 [00:10<01:30,  5.00it/s]{'loss': '1.5', 'epoch': '0.1'}", "loss@50=1.5"),
        ("***** eval metrics *****", ""),
        ("  eval_loss                =     1.1100", "eval_loss@50=1.11"),
        ("  eval_runtime             = 0:02:03.45", ""),
        ("  total_flos               = 123456GF", ""),
    ]);
    check(&[
        (
            " iteration      10/   500 | consumed samples:  2560 | elapsed time per iteration (ms): 1234.5 | learning rate: 1.000E-04 | lm loss: 9.876543E+00 | number of nan iterations:   0 |",
            "consumed samples@10=2560 learning rate@10=0.0001 lm loss@10=9.876543 iterations@10=0",
        ),
        (
            "01/02 03:04:05 - mmengine - INFO - Epoch(val) [2][10/10]    coco/bbox_mAP: 0.2100  data_time: 0.0100",
            "coco/bbox_mAP@2=0.21 data_time@2=0.01",
        ),
        (
            "[01/02 03:04:05 d2.utils.events]:  eta: 0:10:00  iter: 39  total_loss: 0.555  lr: 0.002  max_mem: 2000M",
            "total_loss@39=0.555 lr@39=0.002",
        ),
        (
            "Epoch: [0][  1/626]\tTime  0.5 ( 0.5)\tLoss 6.9e+00 (7.0e+00)\tAcc@1   0.39 (  0.20)",
            "Loss@0=6.9 Acc@1@0=0.39",
        ),
    ]);
}

/// Whole outputs, as the programs wrote them.
#[test]
fn programs() {
    let table = [
        (
            include_str!("../../../tests/data/metrics/xgboost.log"),
            &["validation-auc", "test-auc"][..],
            "validation-auc@0=0.97117 validation-auc@1=0.98658 validation-auc@2=0.99507 test-auc@0=0.9472 test-auc@1=0.96832",
        ),
        (
            include_str!("../../../tests/data/metrics/lightgbm.log"),
            &["valid_1's auc", "binary_logloss", "valid's auc"],
            "valid_1's auc@1=0.984591 binary_logloss@1=0.584425 valid_1's auc@2=0.988784 binary_logloss@2=0.522997 \
             valid_1's auc@3=0.987317 binary_logloss@3=0.476643 valid_1's auc@2=0.988784 binary_logloss@2=0.522997 \
             valid's auc@1=0.953502 valid's auc@2=0.959791",
        ),
        (
            include_str!("../../../tests/data/metrics/catboost.log"),
            &["test", "bestTest"],
            "test@0=0.9640461 test@1=0.9849057 test@2=0.9920335 bestTest@2=0.992033543",
        ),
        (
            include_str!("../../../tests/data/metrics/sklearn.log"),
            &["loss", "Validation score", "train_loss", "Avg. loss", "score"],
            "loss@1=13.4575542 Validation score@1=0.627907 loss@2=13.4575542 Validation score@2=0.627907 train_loss@1=1.1477 \
             train_loss@2=1.0086 Avg. loss@1=1781085.382117 Avg. loss@2=722307.529471 score@2=0.878 score@2=0.859",
        ),
        (
            include_str!("../../../tests/data/metrics/tqdm.log"),
            &["loss", "acc"],
            "acc@0=0.67 loss@0=0.333 acc@1=0.67 loss@1=0.25 loss@1=0.333",
        ),
    ];
    for (text, names, expected) in table {
        let lines: Vec<&str> = text.split('\n').collect();
        assert_eq!(wanted(names, &lines), expected);
    }
}

#[test]
fn nothing() {
    check(&[
        ("", ""),
        ("loss", ""),
        ("loss=", ""),
        ("=5", ""),
        ("loss==5", ""),
        ("if loss >= 5: stop", ""),
        ("loss=12:30", ""),
        ("loss=1x", ""),
        ("12:30:01 2026-01-01T12:30:01Z 01/02/2026", ""),
        ("time: 12:30:01 date: 2026-01-01 date=2026/01/01", ""),
        ("version: 2.1 python:3.11 torch==2.1.0 version=1.2.3 numpy: 1.26.4", "python=3.11"),
        ("listening on http://10.0.0.1:8080 localhost:6006 tcp://host:29500 host=10.0.0.1 port=29500", ""),
        ("saved to /data/run=3/loss=0.5/model.pt, 'runs/epoch=3-val_loss=0.21.ckpt', C:\\x=1\\y", ""),
        ("train.py:42: UserWarning cuda:0 sha256:1234", ""),
        ("addr fe80::1 mac 00:1b:44:11:3a:b7 mask=0xff id=12e4567f", ""),
        ("GET http://x/y?acc=0.3&loss=0.2 200", ""),
        (r#""GET /metrics?loss=9&epoch=7 HTTP/1.1" 200"#, ""),
        ("ETA: 0s elapsed: 12s 120ms/step size=2000M", ""),
        ("train: 100%|████| 5/5", ""),
        ("Loading weights:  45%|██ | 3/7 [00:01<00:02, 2.1it/s]", ""),
        ("[rank3]: loss=0.5", ""),
        ("loss=1,2,3 list=0.5-0.7", ""),
        ("saw 10 files in 3 folders, 5 of 7 done", ""),
        ("python train.py --lr=0.1 --momentum 0.9", ""),
    ]);
}

#[test]
fn what_looks_like_a_metric_and_is_no_number() {
    let missed = |mut parser: LineParser, line: &str| {
        read(&mut parser, line);
        let misses = parser.take_misses();
        assert_eq!((parser.take_misses(), misses.first.is_some()), (Misses::default(), misses.lines > 0));
        misses.lines
    };
    let all = [
        ("accuracy=abc", 1),
        ("epoch=3 val accuracy: -- loss: --", 1),
        ("loss=1,234", 1),
        ("loss=0.5x, acc=0.9", 1),
        ("accuracy = 91/100", 1),
        ("loss: 12s", 1),
        ("'loss': [0.5, 0.4]", 1),
        ("loss=--\rloss=--\rloss=0.5", 2),
        (r#"{"loss": "high"}"#, 1),
        (r#"{"epoch": 3, "loss": [1, 2]}"#, 1),
        (r#"{"epoch": 3, "los"#, 1),
        (r#"train | {"epoch": 3, "val": {"loss": "#, 1),
        ("loss=0.5 acc: 0.9", 0),
        ("{\"\u{fffd}\u{1}: a brace by chance", 0),
        ("{\"quoted\" and left open", 0),
        ("loss:", 0),
        ("loss = ", 0),
        ("loss=None, 'accuracy': null", 0),
        (r#"{"loss": null, "accuracy": "", "note": "x"}"#, 0),
        (r#"{"loss": {"val": 0.5}}"#, 0),
        ("{'loss': {'val': 0.5}}", 0),
        ("loss==abc if loss >= best: stop", 0),
        ("saved to 'runs/epoch=3-val_loss=0.21.ckpt'", 0),
        ("INFO: started, status: ok, level=info", 0),
        ("ERROR: no such file", 0),
        ("Epoch 4: val_loss did not improve from 0.07650", 0),
        ("[rank3]: loss=abc", 0),
    ];
    for (line, lines) in all {
        assert_eq!(missed(LineParser::all(), line), lines, "{line}");
        let some = ["loss", "acc", "accuracy", "val_loss"].map(str::to_owned);
        assert_eq!(missed(LineParser::new(some), line), lines, "{line}");
    }
    let asked = [
        ("val loss", "val loss: --", 1),
        ("val_loss", "Val Loss = n/a", 1),
        ("accuracy", "Test accuracy: n/a", 1),
        ("accuracy", "loss=abc", 0),
        ("score", "my_score: abc", 0),
        ("time (ms)", "time (ms): ?", 1),
        ("دقت", "دقت=؟", 1),
        ("Acc@1", "Acc@1=?", 1),
        ("status", "status: ok", 1),
        ("error", "ERROR: no such file", 0),
    ];
    for (name, line, lines) in asked {
        assert_eq!(missed(LineParser::new([name.to_owned()]), line), lines, "{line}");
    }
    let filtered = LineParser::new(["loss".to_owned()]).with_filters(&[r"(\w+) is (\S+)".to_owned()]).unwrap();
    assert_eq!(missed(filtered, "loss is high, acc is low"), 1);
}

#[test]
fn names_that_are_asked_for() {
    let table: [(&[&str], &[&str], &str); 14] = [
        (&["val_loss"], &["Val Loss: 0.5", "val/loss=0.4", "VAL-LOSS 0.3,"], "val_loss=0.5 val_loss=0.4 val_loss=0.3"),
        (&["accuracy"], &["Train accuracy: 0.9", "Test accuracy: 0.8", "val accuracy: 0.7"], "accuracy=0.8"),
        (&["loss"], &["val loss: 2, train loss: 3", "loss: 1", "val loss: 2"], "loss=2 loss=1"),
        (&["train loss", "val_loss"], &["step 1: train loss 2.5, val loss 2.0"], "train loss@1=2.5 val_loss@1=2"),
        (&["auc"], &["[1]\ttraining's auc: 0.9\tvalid_1's auc: 0.8"], "auc@1=0.8"),
        (&["lm loss"], &["iteration 3/ 500 | lm loss: 9.5E+00 |"], "lm loss@3=9.5"),
        (
            &["elapsed time per iteration (ms)"],
            &["| elapsed time per iteration (ms): 12.5 |"],
            "elapsed time per iteration (ms)=12.5",
        ),
        (&["शुद्धता", "🎯"], &["शुद्धता=0.5 🎯 = 0.25"], "शुद्धता=0.5 🎯=0.25"),
        (&["точность"], &["хточность=1 (точность=0.75)"], "точность=0.75"),
        (&["loss"], &["xloss=5 myloss: 3 loss:4"], "loss=4"),
        (&["port"], &["port=8080 host:80"], "port=8080"),
        (&["epoch"], &["epoch=3"], "epoch@3=3"),
        (&["accuracy"], &["INFO:train:accuracy=0.5"], "accuracy=0.5"),
        (
            &["mAP50-95"],
            &["   Class  Images  Box(P  R  mAP50  mAP50-95): 100%|█| 2/2", "   all  9  0.5  0.5  0.7  0.4"],
            "mAP50-95=0.4",
        ),
    ];
    for (names, lines, expected) in table {
        assert_eq!(wanted(names, lines), expected, "{names:?} {lines:?}");
    }
}

#[test]
fn filters_find_what_they_say_and_steps_are_found_as_ever() {
    let filter = r"(\w+) is (\S+)".to_owned();
    let mut parser = LineParser::new(["loss".to_owned()]).with_filters(&[filter]).unwrap();
    let table =
        [("epoch 3", ""), ("loss is 0.5, acc is 1", ""), ("loss is 0.5 acc is 1", "loss@3=0.5"), ("loss=1", "")];
    for (line, found) in table {
        assert_eq!(read(&mut parser, line), found, "{line}");
    }
    assert_eq!(parser.take_seen(), Some(vec!["acc".to_owned()]));
}

#[test]
fn what_nobody_asked_for_is_remembered() {
    let mut parser = LineParser::new(["val_accuracy".to_owned()]);
    parser.parse(b"epoch=1 val_acc=0.5 loss=1", Timestamp::UNIX_EPOCH);
    assert_eq!(parser.take_seen(), Some(vec!["loss".to_owned(), "val_acc".to_owned()]));
    assert_eq!(parser.take_seen(), None);
}

#[test]
fn a_line_that_says_its_time_has_it() {
    let mut parser = LineParser::all();
    let time =
        |line: &str, parser: &mut LineParser| parser.parse(line.as_bytes(), Timestamp::UNIX_EPOCH)[0].time.to_string();
    let table = [
        ("2026-01-01T10:00:00.5Z stdout F loss=1", "2026-01-01T10:00:00.5Z"),
        ("2026-01-01T10:00:00+01:00 loss=1", "2026-01-01T09:00:00Z"),
        (r#"{"loss": 1, "ts": 1767261600.25}"#, "2026-01-01T10:00:00.25Z"),
        ("loss=1", "1970-01-01T00:00:00Z"),
    ];
    for (line, expected) in table {
        assert_eq!(time(line, &mut parser), expected, "{line}");
    }
}

#[test]
fn a_number_that_a_long_line_is_cut_in_is_not_read() {
    for behind in 0..12 {
        let mut line = "x".repeat((64 << 10) - 20 - behind);
        line.push_str(" loss=0.5 accuracy=0.987 more");
        let read: Vec<(String, f64)> = LineParser::new(["loss".to_owned(), "accuracy".to_owned()])
            .parse(line.as_bytes(), Timestamp::UNIX_EPOCH)
            .into_iter()
            .map(|found| (found.metric, found.value))
            .collect();
        // Either not at all or as it stands there.
        let accuracy = read.iter().find(|(name, _)| name == "accuracy");
        assert!(accuracy.is_none_or(|(_, value)| *value == 0.987), "{behind}: {read:?}");
        assert_eq!(read[0], ("loss".to_owned(), 0.5), "{behind}");
    }
}

#[test]
fn a_line_of_a_hundred_megabytes_takes_no_time() {
    let mut parser = LineParser::new(["a".to_owned(), "b c".to_owned()]);
    for byte in b"={}[\"N1,: |)" {
        parser.parse(&vec![*byte; 100 << 20], Timestamp::UNIX_EPOCH);
    }
    for part in [
        "={",
        "{}",
        "a:1,",
        "a:",
        "a:x",
        "a=\"x\"",
        "1,",
        "a 1,",
        ")1",
        "(1)2",
        "1/2 ",
        "a = ",
        "{\"a\":{",
        "e,",
        "[1]\t",
        "a b c d: 1 ",
        "\r1",
        "\u{1b}[",
        "٠",
    ] {
        parser.parse(&part.repeat(1 << 17).into_bytes(), Timestamp::UNIX_EPOCH);
    }
}

proptest! {
    #[test]
    fn any_bytes_will_do(lines in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..100), 1..4)) {
        let mut parser = LineParser::new(["a".to_owned()]);
        lines.iter().for_each(|line| drop(parser.parse(line, Timestamp::UNIX_EPOCH)));
    }

    #[test]
    fn any_words_will_do(words in prop::collection::vec(
        prop::sample::select(vec![
            "loss", "epoch", "é", "🎯", "=", ":", " ", "  ", "\t", "1", "0.5", "٠", "{", "}", "\"", "'", "|", "█", "%", "[",
            "]", "/", ",", "-", "(", ")", "all", "Class", "\r", "\u{1b}[", "nan", "metricName", "tensor(", "2026-01-01T00:00:00Z ",
        ]), 0..40)) {
        let (mut all, mut one) = (LineParser::all(), LineParser::new(["loss".to_owned(), "🎯".to_owned()]));
        for line in words.concat().split('\t') {
            all.parse(line.as_bytes(), Timestamp::UNIX_EPOCH);
            one.parse(line.as_bytes(), Timestamp::UNIX_EPOCH);
        }
    }

    #[test]
    fn a_number_reads_back(value in prop::num::f64::ANY, step in 0_u64..1_000_000) {
        prop_assert_eq!(wanted(&["loss"], &[&format!("epoch={step} loss={value}")]), format!("loss@{step}={value}"));
    }
}

/// Each row of the page's table is read as it says.
#[test]
fn the_page_tells_what_is_read() {
    let page = include_str!("../../../docs/metrics.md");
    let rows: Vec<&str> = page.lines().filter(|line| line.starts_with("| `")).collect();
    assert!(rows.len() > 20, "{}", rows.len());
    for row in rows {
        let row = row.replace("\\|", "\u{1}");
        let cells: Vec<String> = row.split(" | ").map(|cell| cell.replace('\u{1}', "|")).collect();
        let [printed, name, said] = cells.as_slice() else { panic!("{row}") };
        let lines: Vec<&str> = printed.split("<br>").map(|part| part.split('`').nth(1).unwrap()).collect();
        let name = name.trim_matches('`');
        let (value, step) = said.trim_end_matches(" |").split_once(" @").unwrap_or((said.trim_end_matches(" |"), ""));
        let step = if step.is_empty() { String::new() } else { format!("@{step}") };
        assert_eq!(wanted(&[name], &lines), format!("{name}{step}={value}"), "{row}");
    }
}
