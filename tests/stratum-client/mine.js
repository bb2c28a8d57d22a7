// A miner that uses npm's stratum-client, for a test of the pool. It finds a share and submits it twice, then a share that is
// too easy, then a share for an unknown job. Prints the pool's verdicts as one line of JSON.
//
//   NODE_PATH=.../node_modules node mine.js HOST PORT WORKER
'use strict';

const crypto = require('crypto');
const start = require('stratum-client');

const [server, port, worker] = process.argv.slice(2);
const seen = { subscribed: false, authorized: false, jobs: 0 };
const verdicts = [];
const plan = [];
let difficulty = 0;
let client;

const sha256d = (bytes) => {
  const once = crypto.createHash('sha256').update(bytes).digest();
  return crypto.createHash('sha256').update(once).digest();
};
const hex = (number) => number.toString(16).padStart(8, '0');
const turned = (text) => Buffer.from(text, 'hex').reverse();

// Builds the header with a zero nonce. Stratum reverses the bytes of each 4-byte word of the previous block's hash.
function header(work, extranonce2) {
  let root = sha256d(Buffer.from(work.coinb1 + work.extraNonce1 + extranonce2 + work.coinb2, 'hex'));
  for (const node of work.merkle_branch) root = sha256d(Buffer.concat([root, Buffer.from(node, 'hex')]));
  const previous = work.prevhash.match(/.{8}/g).map(turned);
  return Buffer.concat([turned(work.version), ...previous, root, turned(work.ntime), turned(work.nbits), Buffer.alloc(4)]);
}

function search(work, extranonce2, wanted) {
  const bytes = header(work, extranonce2);
  const one = 0xffffn << 208n;
  for (let nonce = 0; ; nonce++) {
    bytes.writeUInt32LE(nonce, 76);
    const digest = BigInt('0x' + sha256d(bytes).reverse().toString('hex'));
    if (wanted(Number(one) / Number(digest))) return hex(nonce);
  }
}

function submit() {
  const { job, extranonce2, ntime, nonce } = plan[verdicts.length];
  client.submit({ worker_name: worker, job_id: job, extranonce2, ntime, nonce });
}

function judged(error, result) {
  verdicts.push(result ? 0 : error[0]);
  if (verdicts.length < plan.length) return submit();
  console.log(JSON.stringify({ ...seen, verdicts }));
  client.shutdown();
}

function work(work) {
  seen.jobs += 1;
  if (plan.length > 0) return;
  const extranonce2 = '00'.repeat(work.extraNonce2Size);
  const share = (nonce, job) => ({ job, extranonce2, ntime: work.ntime, nonce });
  const good = search(work, extranonce2, (reached) => reached >= difficulty);
  const easy = search(work, extranonce2, (reached) => reached < difficulty / 2);
  plan.push(share(good, work.jobId), share(good, work.jobId), share(easy, work.jobId), share(good, 'feed0000'));
  submit();
}

client = start({
  server,
  port: Number(port),
  worker,
  password: 'd=0.000001',
  autoReconnectOnError: false,
  onSubscribe: () => { seen.subscribed = true; },
  onAuthorizeSuccess: () => { seen.authorized = true; },
  onNewDifficulty: (now) => { difficulty = now; },
  onNewMiningWork: work,
  onSubmitWorkSuccess: judged,
  onSubmitWorkFail: judged,
});
