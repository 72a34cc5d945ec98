# The operator and its agent, both linked statically: nothing else is in the image. scripts/image.sh makes the same
# without docker.
FROM rust:1-bookworm AS build
WORKDIR /src
COPY . .
RUN triple=$(rustc -vV | sed -n 's/^host: //p') \
 && RUSTFLAGS="-C target-feature=+crt-static" cargo build --locked --profile dist --bins --target "$triple" \
 && mkdir /out && cp "target/$triple/dist/automl" "target/$triple/dist/automl-agent" /out/

FROM scratch
COPY --from=build /out/automl /out/automl-agent /
USER 65532:65532
ENTRYPOINT ["/automl"]
