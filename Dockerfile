# One image for every role of the binary: the scheduler, the executor (pool server and workers), and `mine`.
#
#   docker build -t mesos-miner .
#   docker run --network host -v mesos-miner:/var/lib/mesos-miner mesos-miner scheduler --master HOST:PORT \
#     --state-dir /var/lib/mesos-miner --executor-image mesos-miner --user nobody
#
# --user names a user that exists on the agents and owns the sandboxes; the default would be this image's own user. The
# image can be the executor's image as it is: the binary is the entry point, and the scheduler adds its arguments.

FROM rust:1-bookworm AS build
WORKDIR /src
COPY . .
# Do not compile for the build machine's CPU: the program chooses the fastest search for each machine at run time.
RUN cargo build --release --locked --package mesos-miner --bin mesos-miner \
 && strip target/release/mesos-miner

FROM debian:bookworm-slim
# The binary needs only the CA certificates, for stratum+ssl:// pools and https:// masters.
RUN apt-get update \
 && apt-get install --yes --no-install-recommends ca-certificates \
 && rm -rf /var/lib/apt/lists/*
# The user id is fixed so that volumes keep their owner.
RUN groupadd --gid 10001 miner \
 && useradd --uid 10001 --gid miner --no-create-home --home-dir /var/lib/mesos-miner miner \
 && install -d -o miner -g miner /var/lib/mesos-miner
COPY --from=build /src/target/release/mesos-miner /usr/local/bin/mesos-miner
USER 10001:10001
WORKDIR /var/lib/mesos-miner
VOLUME /var/lib/mesos-miner
ENTRYPOINT ["mesos-miner"]
CMD ["--help"]
