# One binary for every part: the image of the scheduler, of the executor (pool server and workers), and of `mine`.
#
#   docker build -t mesos-miner .
#   docker run --network host -v mesos-miner:/var/lib/mesos-miner mesos-miner scheduler --master HOST:PORT \
#     --state-dir /var/lib/mesos-miner --executor-image mesos-miner --user nobody
#
# --user is one that the agents have, to whom they give the sandboxes; the default would be this image's own user. As the
# executor's image nothing needs to be set: the binary is the entry point, the scheduler adds its arguments.

FROM rust:1-bookworm AS build
WORKDIR /src
COPY . .
# Never for the build machine's own CPU: the fastest search that a machine can do is chosen at run time.
RUN cargo build --release --locked --package mesos-miner --bin mesos-miner \
 && strip target/release/mesos-miner

FROM debian:bookworm-slim
# The binary carries all but the authorities that vouch for stratum+ssl:// pools and https:// masters.
RUN apt-get update \
 && apt-get install --yes --no-install-recommends ca-certificates \
 && rm -rf /var/lib/apt/lists/*
# The number is fixed so that volumes keep their owner.
RUN groupadd --gid 10001 miner \
 && useradd --uid 10001 --gid miner --no-create-home --home-dir /var/lib/mesos-miner miner \
 && install -d -o miner -g miner /var/lib/mesos-miner
COPY --from=build /src/target/release/mesos-miner /usr/local/bin/mesos-miner
USER 10001:10001
WORKDIR /var/lib/mesos-miner
VOLUME /var/lib/mesos-miner
ENTRYPOINT ["mesos-miner"]
CMD ["--help"]
