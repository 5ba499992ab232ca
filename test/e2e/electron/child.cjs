// Runs the program of a utility process in a plain child process of Node: node child.cjs PROGRAM.
// process.parentPort and its ports work over the channel of child_process.fork. See processes.ts for the other end.
const { EventEmitter } = require('node:events')

/** Like Electron's MessagePortMain: messages wait for start(), and only ports can be transferred. */
class Port extends EventEmitter {
  #id
  #waiting = []

  constructor(id) {
    super()
    this.#id = id
  }

  postMessage(data, transfer = []) {
    if (transfer.some((item) => !(item instanceof Port))) throw new TypeError('only a MessagePortMain can be transferred')
    process.send({ port: this.#id, data })
  }

  start() {
    const waiting = this.#waiting ?? []
    this.#waiting = undefined
    for (const data of waiting) this.emit('message', { data, ports: [] })
  }

  receive(data) {
    if (this.#waiting) this.#waiting.push(data)
    else this.emit('message', { data, ports: [] })
  }
}

const ports = new Map()
process.parentPort = new EventEmitter()
process.on('message', ({ connect, port, data, close }) => {
  if (connect !== undefined) {
    ports.set(port, new Port(port))
    process.parentPort.emit('message', { data: connect, ports: [ports.get(port)] })
  } else if (close) ports.get(port).emit('close')
  else ports.get(port).receive(data)
})
process.on('disconnect', () => process.exit())

require(process.argv[2])
