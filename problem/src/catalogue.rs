//! The catalogue of all kinds of problems, in the order of their ranks.
//!
//! The first kinds are those that a user has to act on: the program cannot do its own work; a peer refuses it for ever; executors
//! cannot run. Then come peers that are away, agents that cannot be used, and steps that take time. The last ones are normal.

use crate::kind::{Row, catalogue};

catalogue! {
    StateFolderFull {
        code: "state-folder-full",
        symptom: "the scheduler cannot write its records",
        cause: "The disk of the state folder is full, or the folder cannot be written.",
        remedy: "Make room on that disk, or give the folder's permissions back. The scheduler writes what it holds as soon as it \
                 can; until then it acknowledges no status update.",
        unhealthy: true,
    }
    NotSubscribed {
        code: "not-subscribed",
        symptom: "not subscribed to a master",
        cause: "No Mesos master answers at the address of --master, or none leads.",
        remedy: "Compare --master with the address and port of the leading master; the text has the error of the last try.",
        unhealthy: true,
    }
    ZooKeeperUnreachable {
        code: "zookeeper-unreachable",
        symptom: "no session with ZooKeeper",
        cause: "No server of --zk, or of a zk:// address of --master, can be reached, they have no quorum, or they deny access.",
        remedy: "Compare the hosts and ports, and USER:PASSWORD, with those of the ZooKeeper servers; the text says of each server \
                 what is wrong. With --zk, no scheduler leads until then.",
        unhealthy: true,
    }
    MasterCredentials {
        code: "master-credentials",
        symptom: "the master refuses the principal or its secret",
        cause: "The master requires a principal, does not know the given one with this secret, or does not allow it (ACLs).",
        remedy: "Compare --principal and --secret-file with the master's --credentials, and --role and --user with its --acls. A \
                 scheduler that has subscribed before reads the file again for each try; otherwise, start it again.",
        permanent: true,
        unhealthy: true,
    }
    BlockRejected {
        code: "block-rejected",
        symptom: "the node has rejected a block",
        cause: "The block breaks a rule of the node; the text has the node's word for it. Its reward is lost.",
        remedy: "For time-too-new or time-too-old, compare the clocks of the server's machine and of the node's. For other words, update \
                 the node and mesos-miner. The rejected block is in the folder blocks of --data-dir.",
    }
    NodeCredentials {
        code: "node-credentials",
        symptom: "the node refuses the password",
        cause: "The node does not know the user, the password or the cookie that the server has.",
        remedy: "Compare --rpc-user and --rpc-password-file, or --cookie-file (--bitcoind URL,cookie=FILE), with the node's \
                 configuration. The scheduler watches cookie files, and sends what is new to the running server; a file with another \
                 user's password is read again after a restart of the scheduler.",
        permanent: true,
        unhealthy: true,
    }
    NodeWhitelist {
        code: "node-whitelist",
        symptom: "the node does not allow the user to call a method",
        cause: "The node has an rpcwhitelist for the user, and a method that is needed is not in it; the text names the method.",
        remedy: "Add the methods of docs/BITCOIN-NODE.md to the user's rpcwhitelist and start the node again, or give a user without one.",
        permanent: true,
    }
    AddressOfOtherNetwork {
        code: "address-network",
        symptom: "the address to be paid belongs to another network",
        cause: "The node works on another network than the address of --address.",
        remedy: "Give an address of the node's network, or the node of the address' network.",
        permanent: true,
    }
    NodeOfOtherNetwork {
        code: "node-network",
        symptom: "a node works on a network that cannot be mined on",
        cause: "The node is on a network that this program does not know, on a signet whose blocks need a signature, or on another \
                network than the first node of --bitcoind.",
        remedy: "Name nodes of one network with --bitcoind: main, testnet3, testnet4, regtest, or a signet with challenge 51.",
        permanent: true,
    }
    NodeRefuses {
        code: "node-refuses",
        symptom: "a node answers, but gives no work that can be used",
        cause: "The node refuses a call, or gives a block template that cannot be used; the text has its answer.",
        remedy: "Compare --bitcoind with the RPC address of a full node, and read that node's log.",
        permanent: true,
    }
    PoolRefusesUser {
        code: "pool-refuses-user",
        symptom: "the pool refuses the user",
        cause: "The pool does not know the user name, or wants another password.",
        remedy: "Compare --pool-user and --pool-password-file (`mine`: --user and --pass) with what the pool asks for; many pools want a \
                 payout address as the user.",
        permanent: true,
    }
    UpstreamRefusesUser {
        code: "upstream-refuses-user",
        symptom: "the upstream pool refuses the user of the server",
        cause: "The upstream pool does not know the user name, or wants another password.",
        remedy: "Compare --upstream-user and --upstream-password-file with what the upstream pool asks for; many pools want a payout \
                 address as the user.",
        permanent: true,
    }
    UpstreamExtranonceTooSmall {
        code: "upstream-extranonce-too-small",
        symptom: "the upstream pool leaves too little extranonce2 for workers",
        cause: "A pool server divides the extranonce2 of its upstream pool among its workers, and this pool leaves fewer than 2 bytes. \
                That happens at pools for single miners, and behind other pool servers.",
        remedy: "Give another upstream pool (--upstream may be given again), or put fewer pool servers in a row: three need 5 bytes \
                 of extranonce2 from the pool.",
        permanent: true,
    }
    ServerDataFolder {
        code: "server-data-folder",
        symptom: "the server cannot use its data folder",
        cause: "The folder of --data-dir on the server's agent cannot be written, its disk is full, or another pool uses it.",
        remedy: "Make room on that disk, let the task's user (--user) write to the folder, or name another folder with --data-dir.",
    }
    ExecutorUserUnknown {
        code: "executor-user-unknown",
        symptom: "the executor's user is unknown on an agent",
        cause: "Executors run as the user of --user, by default the one who runs the scheduler, and this user must exist on each agent.",
        remedy: "Create the user on the agents, or give one that they have (--user). Launches are tried again by themselves.",
    }
    ExecutorFetchFailed {
        code: "executor-fetch-failed",
        symptom: "the executor could not be fetched by an agent",
        cause: "The agent does not reach the address that the executor is fetched from, or there is no such file.",
        remedy: "Let agents reach the scheduler (--artifact-address, a firewall), put the executor where they reach it \
                 (--executor-uri), or install it on them (--executor-path).",
    }
    ExecutorNotExecutable {
        code: "executor-not-executable",
        symptom: "the executor may not be executed on an agent",
        cause: "The file, or a folder on its path, does not let the executor's user execute it, or it is on a file system that is \
                mounted noexec; a fetched executor is in the agent's --work_dir.",
        remedy: "Give the file its permissions (chmod 755), remount the agent's --work_dir without noexec, or install the executor \
                 elsewhere on the agents (--executor-path).",
    }
    ExecutorNotFound {
        code: "executor-not-found",
        symptom: "the executor, or the interpreter that it needs, is not on an agent",
        cause: "There is no file at --executor-path on this agent, or the file needs a dynamic linker that this agent does not have.",
        remedy: "Install the executor on each agent, or let agents fetch it; use the static build (scripts/static), which needs no \
                 dynamic linker.",
    }
    ExecutorIncompatible {
        code: "executor-incompatible",
        symptom: "the executor is no program that an agent can run",
        cause: "The file is for another architecture, needs a newer C library or one that is missing, or is no program at all.",
        remedy: "Build the executor for the agents' architecture; use the static build (scripts/static), which needs no C library.",
    }
    ExecutorNotExecuted {
        code: "executor-not-executed",
        symptom: "the executor could not be executed on an agent",
        cause: "The file is not there, may not be executed, is in a sandbox that is mounted noexec, or is for another architecture or \
                another C library. The exit status does not tell which (233).",
        remedy: "See the end of the executor's stderr, in `failures` or in its sandbox: it names the cause. If agents ask for \
                 credentials to show it, give --agent-principal and --agent-secret-file.",
    }
    ExecutorNoContainer {
        code: "executor-no-container",
        symptom: "no container could be started for the executor on an agent",
        cause: "The agent has no containerizer or image provider for the executor's image, lacks the image, or could not prepare the \
                sandbox; the text has Mesos' words.",
        remedy: "Compare the image (--executor-image) with the agents' --containerizers and --image_providers, and look into the \
                 agent's log.",
    }
    ExecutorNotRegistered {
        code: "executor-not-registered",
        symptom: "an executor did not register with its agent in time",
        cause: "The executor was not ready within the agent's --executor_registration_timeout, or cannot reach its agent.",
        remedy: "Make the executor's download faster (--executor-uri, --executor-path), or raise that limit on the agents; see the end \
                 of the executor's stderr, in `failures` or in its sandbox.",
    }
    ExecutorEnded {
        code: "executor-ended",
        symptom: "an executor ended by itself or was killed",
        cause: "The end of its stderr says why; signal 9 mostly is the kernel's, for lack of memory.",
        remedy: "Mend what the end of its stderr names, in `failures` or in its sandbox; if a server lacks memory, give it more \
                 (--server-mem); if a worker does, free memory on its agent.",
    }
    LaunchesFail {
        code: "launches-fail",
        symptom: "launches fail in the same way on several agents",
        cause: "What the failed launches have in common is in the text: their state, reason and message.",
        remedy: "Mend what the text names. The scheduler tries one agent at a time, and goes on by itself when a launch succeeds.",
    }
    NodeUnreachable {
        code: "node-unreachable",
        symptom: "a server waits for the node",
        cause: "Nothing answers at the address of --bitcoind, or the node does not give a block template yet.",
        remedy: "Start the node, or compare the address and port with its rpcbind and rpcport; let it finish its initial download.",
    }
    NodeLoading {
        code: "node-loading",
        symptom: "a server waits for the node, which is still loading",
        cause: "The node has been started shortly before, has no peers, or is in its initial block download; the text says which.",
        remedy: "Wait until the node has loaded its chain; let a node without peers connect to some (addnode, a firewall). The \
                 server goes on by itself.",
    }
    NodeSlow {
        code: "node-slow",
        symptom: "a node answers slowly",
        cause: "Other clients hold the node's RPC threads (-rpcthreads: 16, before Bitcoin Core 29 only 4), or its machine is overloaded.",
        remedy: "See with `bitcoin-cli getrpcinfo` what the node is busy with, end clients that wait there for long, or raise -rpcthreads; \
                 docs/BITCOIN-NODE.md says how many threads a server needs.",
    }
    ClockSkew {
        code: "clock-skew",
        symptom: "the clocks of the server's machine and of a node differ",
        cause: "One of the two clocks is wrong; the text has the difference. Work goes by the node's clock.",
        remedy: "Set the clock that is wrong (NTP). If the node's is behind, it refuses blocks of others; if it is ahead, others \
                 refuse its blocks.",
    }
    UpstreamRejectsShares {
        code: "upstream-rejects-shares",
        symptom: "the upstream pool rejects all shares",
        cause: "The upstream pool has rejected at least 20 shares in a row, apart from stale and duplicate ones, so the work is of no use. \
                The text has the pool's reason.",
        remedy: "Compare the pool's reason with the address and user of --upstream. If another --upstream is given, it takes over; the \
                 first is tried again later.",
        unhealthy: true,
    }
    UpstreamSharesStale {
        code: "upstream-shares-stale",
        symptom: "the upstream pool calls all shares stale",
        cause: "The upstream pool has called at least 50 shares stale over at least a minute, and has accepted none meanwhile, so the work \
                is of no use. Either its jobs reach the server late, or it has lost them. The text has the pool's reason.",
        remedy: "Look whether a slow line or another pool server is between, and ask the upstream pool's operator. If it lasts, give another \
                 --upstream as the first: stale shares alone are no reason for the server to leave a pool.",
        unhealthy: true,
    }
    UpstreamUnreachable {
        code: "upstream-unreachable",
        symptom: "a server waits for its upstream pool",
        cause: "Nothing answers at the address of --upstream, its certificate is not trusted, the upstream pool refuses the connection or \
                the subscription, or it gives no job.",
        remedy: "Compare the upstream pool's address and port, and --tls-ca with its certificate; look whether a firewall is between \
                 the server's agent and the pool, and whether the pool has banned that agent. The text says which.",
    }
    PoolUnreachable {
        code: "pool-unreachable",
        symptom: "a task waits for its pool",
        cause: "Nothing answers at the pool's address, its certificate is not trusted, it refuses the connection or the subscription, \
                or it gives no job.",
        remedy: "Compare the pool's address and port, and --tls-ca with its certificate; look whether a firewall is between the \
                 agent and the pool, and whether the pool has banned the agent. The text says which.",
    }
    PoolRejectsShares {
        code: "pool-rejects-shares",
        symptom: "a pool gives work but rejects all shares",
        cause: "The pool has rejected twenty shares in a row, stale and duplicate ones not counted; the text has its last reason.",
        remedy: "Ask the pool's operator about the reason; try --no-version-rolling, and compare the user name and the coin of the \
                 port. Work for such a pool is not paid: give another one to turn to.",
    }
    PoolJobOutdated {
        code: "pool-job-outdated",
        symptom: "a pool answers but its work is outdated",
        cause: "The pool, or its node, most likely hangs: it has sent no job for far longer than before, or longer than --job-timeout, \
                or all its jobs have been for the same block for three hours. The text says which.",
        remedy: "Ask the pool's operator. Work on an old block is not paid: give another pool to turn to, or a longer --job-timeout if \
                 jobs or blocks are rare on this chain.",
    }
    TaskWaits {
        code: "task-waits",
        symptom: "a task does not work yet, or not any more",
        cause: "The text has what the task itself says.",
        remedy: "Mend what the text names; the log of the task, in its sandbox, says more.",
    }
    NoRoomForNewServer {
        code: "no-room-for-new-server",
        symptom: "a server is to be replaced, but there is no room for the new one",
        cause: "No agent that --server-constraint allows has the CPU, memory and ports of --server-cpus and --server-mem free.",
        remedy: "Make room on an agent, or ask for less. The present server goes on until then.",
    }
    NoAgents {
        code: "no-agents",
        symptom: "no offers: the master has no agents",
        cause: "No agent is registered with the leading master: none runs, they use another master or ZooKeeper path, or their \
                machines are down for maintenance.",
        remedy: "Start agents with this master's address, or compare --master with theirs.",
    }
    GpuAgents {
        code: "gpu-agents",
        symptom: "no offers: the agents have GPUs",
        cause: "Masters offer agents with GPUs only to frameworks that ask for them.",
        remedy: "Give --gpu-agents to use their CPUs; their GPUs are left to others.",
    }
    RemoteAgents {
        code: "remote-agents",
        symptom: "no offers: the agents are in another region than the master",
        cause: "Masters offer agents in other regions only to frameworks that ask for them.",
        remedy: "Give --remote-regions, and choose regions with --constraint @region:LIKE:NAME.",
    }
    ReservedForOthers {
        code: "reserved-for-others",
        symptom: "no offers: the agents' resources are reserved for other roles",
        cause: "The resources of the agents belong to other roles than that of --role; the text names one.",
        remedy: "Give the role that the resources are reserved for (--role), or leave resources unreserved.",
    }
    QuotaReached {
        code: "quota-reached",
        symptom: "no offers: a quota does not allow them",
        cause: "The role of --role has reached the limit of its quota, or the master keeps what is free for the guarantees of other \
                roles.",
        remedy: "Change the quotas (POST /quota), or give another role (--role).",
    }
    AgentsInactive {
        code: "agents-inactive",
        symptom: "no offers: the agents are deactivated, drained or not connected",
        cause: "Operators have deactivated or drained the agents, or the agents are not connected to the master.",
        remedy: "Reactivate the agents (REACTIVATE_AGENT), or look into their logs.",
    }
    AgentsInUse {
        code: "agents-in-use",
        symptom: "no offers: all resources are in use or offered to others",
        cause: "Tasks use all resources of the agents, or other frameworks hold the offers.",
        remedy: "Wait, free resources or add agents; other frameworks should decline what they do not use.",
    }
    NoOffers {
        code: "no-offers",
        symptom: "no offers, and nothing that explains it",
        cause: "The master makes no offers to the role, and what its operator API says does not explain it.",
        remedy: "Look at /roles, /quota and /slaves of the master; try --gpu-agents and --remote-regions. If the operator API asks for \
                 credentials, allow it for --principal to see more here.",
    }
    ConstraintNotMet {
        code: "constraint-not-met",
        symptom: "no server or worker on an agent, since a constraint is not met",
        cause: "The agent's host name, attributes or zone do not match --constraint or --server-constraint.",
        remedy: "Compare the constraint with the agent's attributes; `mesos-miner scheduler plan` shows what would be launched.",
        one_agent: true,
    }
    AgentTooSmall {
        code: "agent-too-small",
        symptom: "no server or worker on an agent, since its offer is too small",
        cause: "The agent offers less CPU, memory or ports than a server or worker needs.",
        remedy: "Ask for less (--server-cpus, --server-mem, --min-worker-cpus, --reserve-cpus), or free resources on the agent.",
        one_agent: true,
    }
    AgentPaused {
        code: "agent-paused",
        symptom: "nothing is launched on an agent for a while, since tasks failed there",
        cause: "Tasks have failed on this agent; the list of failures says how.",
        remedy: "Mend what the failures name. The agent is tried again by itself.",
        one_agent: true,
    }
    Maintenance {
        code: "maintenance",
        symptom: "nothing is launched on an agent because of maintenance",
        cause: "The operators of the cluster have planned maintenance of the machine.",
        remedy: "Nothing: the agent is used again after its maintenance.",
        one_agent: true,
    }
    AgentAvoided {
        code: "agent-avoided",
        symptom: "nothing is launched on an agent that is avoided",
        cause: "An operator has told the scheduler to avoid the agent (POST /api/v1/agents/ID/avoid, or `mesos-miner ctl avoid`).",
        remedy: "Nothing; or allow it again (`mesos-miner ctl allow`).",
        one_agent: true,
    }
    MiningPaused {
        code: "mining-paused",
        symptom: "an operator has paused mining",
        cause: "An operator has told the scheduler to pause (POST /api/v1/pause, or `mesos-miner ctl pause`); the text says who and when.",
        remedy: "Nothing; or resume (`mesos-miner ctl resume`).",
    }
    GraphiteUnreachable {
        code: "graphite-unreachable",
        symptom: "no figures reach Graphite",
        cause: "Nothing takes connections at the address of --graphite, or it closes them. Mining goes on.",
        remedy: "Start carbon, and compare the address with its LINE_RECEIVER_INTERFACE and LINE_RECEIVER_PORT (2003 unless changed). Figures \
                 wait in a queue of 4 MiB, and are sent with their times when it answers.",
    }
    ServerLaunchSlow {
        code: "server-launch-slow",
        symptom: "the launch of the server takes long",
        cause: "The text says what it waits for: an answer, the executor's download, an image, or the server's own start.",
        remedy: "Wait; or make the download faster, or allow more time (--launch-timeout).",
    }
    WorkerLaunchesSlow {
        code: "worker-launches-slow",
        symptom: "launches of workers take long",
        cause: "The text says what they wait for: an answer, the executor's download, an image, or their own start.",
        remedy: "Wait; or make the download faster, or allow more time (--launch-timeout).",
    }
    ReplacementPaused {
        code: "replacement-paused",
        symptom: "replacing workers is paused",
        cause: "Workers that were launched with the new options do not mine.",
        remedy: "Look at their failures, and correct the options; workers with the earlier options go on meanwhile.",
    }
    Replacing {
        code: "replacing",
        symptom: "workers are being replaced",
        cause: "The scheduler was started with options that differ from those of running workers.",
        remedy: "Nothing: it ends by itself.",
    }
    Fetching {
        code: "fetching",
        symptom: "agents wait for their turn to fetch the executor",
        cause: "More agents want the executor than the scheduler sends it to at once.",
        remedy: "Nothing; or put the executor where agents fetch it faster (--executor-uri, --executor-path).",
    }
    ServerFull {
        code: "server-full",
        symptom: "the server is full",
        cause: "The server has as many workers as its memory or its agent's limit of open files allows.",
        remedy: "Give it more memory (--server-mem) or a higher limit of open files; the text says which.",
    }
    AgentFull {
        code: "agent-full",
        symptom: "an agent has too little left for a further worker",
        cause: "The tasks of this framework use what the agent offers.",
        remedy: "Nothing: this is as it should be.",
        one_agent: true,
    }
}
