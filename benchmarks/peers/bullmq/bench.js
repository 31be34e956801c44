// node bench.js SOCKET CONCURRENCY SECONDS: add a job, have a worker do it, on its end add the next; prints jobs a second.
const { Queue, Worker } = require("bullmq");

const [path, concurrency, seconds] = [process.argv[2], Number(process.argv[3]), Number(process.argv[4])];
const connection = { path, maxRetriesPerRequest: null };

async function main() {
  const queue = new Queue("bench", { connection, defaultJobOptions: { removeOnComplete: 1000, removeOnFail: 1000, attempts: 3 } });
  let done = 0;
  let ending = false;
  const worker = new Worker("bench", async () => 1, { connection, concurrency });
  worker.on("completed", () => {
    done += 1;
    if (!ending) queue.add("noop", { number: done }).catch(() => {});
  });
  await worker.waitUntilReady();
  for (let n = 0; n < concurrency; n += 1) await queue.add("noop", { number: n });
  await new Promise((resolve) => setTimeout(resolve, 1000)); // warm
  const before = done;
  const since = process.hrtime.bigint();
  await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
  const rate = (done - before) / (Number(process.hrtime.bigint() - since) / 1e9);
  ending = true;
  const latencies = [];
  for (let n = 0; n < 200; n += 1) {
    const begun = process.hrtime.bigint();
    await queue.add("noop", { number: n });
    latencies.push(Number(process.hrtime.bigint() - begun) / 1e6);
  }
  latencies.sort((a, b) => a - b);
  console.log(JSON.stringify({ jobs_per_second: Math.round(rate), add_ms_p50: latencies[100] }));
  process.exit(0);
}

main();
