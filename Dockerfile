# One image for every role of the binary: the scheduler, the executor (pool server and workers), and `mine`.
#
#   docker build -t mesos-miner .
#   docker run --network host -v mesos-miner:/var/lib/mesos-miner mesos-miner scheduler --master HOST:PORT \
#     --state-dir /var/lib/mesos-miner --executor-image mesos-miner --user nobody
#
# --user names a user that exists on the agents and owns the sandboxes; the default would be this image's own user. The
# image can be the executor's image as it is: the binary is the entry point, and the scheduler adds its arguments.
#
# The image holds the static build and the authorities' certificates, and no shell, library or package.

FROM rust:1-bookworm AS build
WORKDIR /src
COPY . .
# Do not compile for the build machine's CPU: the program chooses the fastest search for each machine at run time.
RUN scripts/static \
 && install -D target/*/dist/mesos-miner /image/usr/local/bin/mesos-miner \
 # For stratum+ssl:// pools and https:// masters.
 && install -D -m 644 /etc/ssl/certs/ca-certificates.crt /image/etc/ssl/certs/ca-certificates.crt \
 && install -d -m 1777 /image/tmp \
 && install -d -o 10001 -g 10001 /image/var/lib/mesos-miner

FROM scratch
COPY --from=build /image /
# The user id is fixed so that volumes keep their owner.
USER 10001:10001
WORKDIR /var/lib/mesos-miner
VOLUME /var/lib/mesos-miner
ENTRYPOINT ["/usr/local/bin/mesos-miner"]
CMD ["--help"]
