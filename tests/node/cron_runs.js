// Reads lines of JSON {expression, zone, from, count} and answers each with its next runs, or with the refusal.
import { createInterface } from "node:readline";
import { Cron } from "croner";

for await (const line of createInterface({ input: process.stdin })) {
  const { expression, zone, from, count } = JSON.parse(line);
  let answer;
  try {
    const cron = new Cron(expression, { timezone: zone, fixedTimeRule: "no-wildcard", paused: true });
    answer = { runs: cron.nextRuns(count, new Date(from)).map((run) => run.getTime() / 1000) };
  } catch (error) {
    answer = { refused: String(error) };
  }
  process.stdout.write(JSON.stringify(answer) + "\n");
}
