// A worker in another language: an actor of a node, in a process of its own, written from docs/reference/wire.md.
// npm install zeromq @msgpack/msgpack; the node starts it: command = ["node", "worker.js"], speaks = "actors".
const fs = require("node:fs")
const { decode, encode } = require("@msgpack/msgpack")
const zmq = require("zeromq")

const TELL = 1, ASK = 2, REPLY = 3, ERROR = 4, SYSTEM = 6

// What it can do, by the name of the task. Each gets the task's data; what it throws is the task's error.
let settings = {}
const tasks = {
  echo: async (data) => data,
  count: async ({ to }) => {
    for (let n = 1; n <= to; n++) report(`counted ${n} of ${to}`, { n, to })
    return { counted: to }
  },
  fail: async ({ why }) => { throw new Error(why) },
  restart: async ({ why }) => say("RestartWanted", { why }), // it goes on until it is told to stop
  settings: async () => settings,
}

// The handover: four bytes of length, then a map, on standard input, which then stays open for as long as the node lives.
const read = (size) => {
  const data = Buffer.alloc(size)
  for (let at = 0; at < size;) {
    const got = fs.readSync(0, data, at, size - at)
    if (got === 0) process.exit(1)
    at += got
  }
  return data
}
const handover = decode(read(read(4).readUInt32BE()))
process.stdin.on("close", () => process.exit(1)).resume() // the node is gone
for (const name of ["SIGINT", "SIGTERM"]) process.on(name, () => end({ kind: "shutdown", detail: name }))

const socket = new zmq.Dealer({ linger: 500, sendHighWaterMark: 0, receiveHighWaterMark: 0 })
if (handover.server_key) {
  Object.assign(socket, { curveServerKey: handover.server_key, curvePublicKey: handover.public_key })
  socket.curveSecretKey = handover.secret_key
}
socket.connect(handover.endpoint)

let sent = Promise.resolve() // one send at a time, in order
const send = (...envelope) => { sent = sent.then(() => socket.send(encode([[1, ...envelope]]))) }
const say = (word, fields) => send(SYSTEM, "", `process:${word}`, encode(fields))
const report = (status, state = {}) => say("Status", { status, state })

// Messages one at a time, in their order; held back while suspended; not one more once it is to end.
const queue = []
let handled = 0, failed = 0, accepted = 0, working = null, suspended = false, last = null

const answer = (id, kind, payload) => { if (id) send(kind, "", "", encode(payload), 0, "", id) }

async function handle([, kind, , type, payload, id = 0]) {
  const message = decode(payload)
  working = type
  try {
    if (type === "actors.jobs.workers:Reload") {
      settings = { ...settings, ...message.settings }
      answer(id, REPLY, null)
    } else if (type === "actors.core.inspection:ViewState") {
      answer(id, REPLY, Buffer.from(JSON.stringify({ handled, failed, settings })))
    } else if (type === "actors.jobs.workers:Task" && Object.hasOwn(tasks, message.name)) {
      answer(id, REPLY, (await tasks[message.name](message.data ?? {})) ?? null)
    } else throw new Error(`there is no task ${message.name ?? type}`)
  } catch (error) {
    failed += 1 // the worker lives on: only the task has failed
    const record = { type_name: error.name, message: error.message, traceback: error.stack ?? "" }
    answer(id, ERROR, { type_name: `worker:${error.name}`, record })
  }
  handled += 1
  working = null
}

async function pump() {
  while (working === null && queue.length && !suspended && last === null) await handle(queue.shift())
  if (last !== null && working === null) say("Ended", { reason: last })
}

function end(reason) {
  if (last !== null) return
  last = reason
  pump() // what it is doing is done first
}

function beat() {
  const { user, system } = process.cpuUsage()
  const statistics = {
    depth: queue.length, system_depth: 0, handled, failed, handling: working, handling_since: null,
    last_handled: null, dropped: 0, rejected: 0, blocked: 0, is_suspended: suspended,
  }
  say("Beat", { rss_bytes: process.memoryUsage.rss(), cpu_seconds: (user + system) / 1e6, threads: 1, statistics })
}

function take(envelope) {
  const [, kind, , type, payload] = envelope
  if (kind === TELL || kind === ASK) {
    queue.push(envelope)
    send(SYSTEM, "", "transport:credit", encode(++accepted)) // or no more than a window of them would come
    pump()
  } else if (kind === SYSTEM) {
    const word = decode(payload)
    if (type === "process:Start") {
      settings = word.kwargs
      if (word.heartbeat) setInterval(beat, word.heartbeat * 1000).unref()
      say("Ready", { seconds: process.uptime() })
      beat()
    } else if (type === "process:Stop") end(word.reason)
    else if (type === "process:Suspend") suspended = true
    else if (type === "process:Resume") { suspended = false; pump() }
    else if (type === "process:Bye") sent.then(() => { socket.close(); process.exit(0) })
  }
}

say("Hello", {
  token: handover.token, pid: process.pid, path: handover.path, generation: handover.generation, protocol: 1,
})
;(async () => { for await (const [frame] of socket) for (const envelope of decode(frame)) take(envelope) })()
