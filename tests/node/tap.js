// A reader of event taps written from docs/reference/wire.md alone: snapshot, then live; a replay with credit.
//
//   node tap.js <endpoints.json> <class> <path> live COUNT      snapshot, then COUNT events of the tap
//   node tap.js <endpoints.json> <class> <path> replay CREDIT   what the history has, CREDIT parts at a time
//
// Prints one JSON object a line: {from, topic, header, body}, {from: "joined"}, {from: "end", result}.

import { readFileSync } from "node:fs"
import { decode, encode } from "@msgpack/msgpack"
import * as zmq from "zeromq"

const [file, eventClass, path, mode, count] = process.argv.slice(2)
const { control, taps } = JSON.parse(readFileSync(file, "utf8"))
const prefix = `a1/${eventClass}${path === "/" ? "" : path}/`
const say = (line) => process.stdout.write(JSON.stringify(line) + "\n")

const node = new zmq.Dealer({ linger: 0 })
node.connect(control)

async function* stream(command, args, credit) {
  await node.send(encode({ kind: "call", v: 1, id: command, command, args, caller: "foreign", credit }))
  for await (const [data] of node) {
    const answer = decode(data)
    if (!answer.ok) throw new Error(`${answer.error.code}: ${answer.error.message}`)
    if (!answer.more) return answer.result
    if (answer.part > 0) {
      yield answer
      await node.send(encode({ kind: "credit", v: 1, id: command, credit: 1 }))
    }
  }
}

async function fetched(command, args, credit) {
  const parts = stream(command, args, credit)
  for (;;) {
    const { done, value } = await parts.next()
    if (done) return value
    for (const [topic, header, body] of value.result.items) say({ from: command, topic, header, body })
  }
}

async function live() {
  const tap = new zmq.Subscriber({ linger: 0, receiveHighWaterMark: 20000 })
  tap.connect(taps)
  tap.subscribe(prefix)
  tap.subscribe("a1/beat/")
  let left = Number(count)
  let floor = null
  const numbers = new Map()
  for await (const [topic, header, body] of tap) {
    const name = topic.toString()
    const head = decode(header)
    if (floor === null) {
      if (name !== "a1/beat/") continue // the snapshot has it: it is asked for after the first beat
      const snapshot = await fetched("snapshot", { classes: [eventClass], path }, 8)
      floor = snapshot.seq
      say({ from: "joined", seq: floor })
    }
    if (name === "a1/beat/" || head.seq <= floor) continue
    const before = numbers.get(name)
    if (before !== undefined && head.tseq !== before + 1) throw new Error(`gap on ${name}: ${before}, ${head.tseq}`)
    numbers.set(name, head.tseq)
    say({ from: "tap", topic: name, header: head, body: decode(body) })
    if (--left === 0) break
  }
  tap.close()
}

if (mode === "live") await live()
else say({ from: "end", result: await fetched("replay", { classes: [eventClass], path }, Number(count)) })
node.close()
process.stdout.end(() => process.exit(0)) // once all of it is written
