import { invalid, type NdArray, numbersOf } from 'clip-es/support'

// numpy saves a dictionary of arrays as a pickled 0-dimensional object array: the form of the released CLIP-ES's CAM files. A pickle is a
// program; this runs the instructions that numpy writes, and knows no functions but four of numpy's. Nothing is ever called or loaded.

/** What a name stands for: only these are known. */
class Name {
  constructor(readonly text: string) {}
}

class DType {
  order = '|'
  constructor(readonly code: string) {}
}

/** An array whose state comes later, by BUILD. */
class Building {
  /** An array of numbers, or the list of an object array. */
  result: NdArray | unknown[] | undefined
}

const isReconstruct = (name: Name): boolean => /^numpy\.(core|_core)\.multiarray\._reconstruct$/.test(name.text)
const isScalar = (name: Name): boolean => /^numpy\.(core|_core)\.multiarray\.scalar$/.test(name.text)
const mark = Symbol('mark')

/** The values of a pickle that numpy made: numbers, texts, lists, tuples (as lists), Maps and arrays. Throws ERR_INVALID_ARG for any other. */
export function readNumpyPickle(bytes: Buffer): unknown {
  const machine = new Machine(bytes)
  try {
    return plain(machine.run())
  } catch (error) {
    if (error instanceof RangeError) throw invalid('its pickle is cut short; save the file again') // a read beyond the end
    throw error
  }
}

/** Arrays in place of what they were built by. */
function plain(value: unknown): unknown {
  if (value instanceof Building) return plain(value.result)
  if (Array.isArray(value)) return value.map(plain)
  if (value instanceof Map) return new Map([...value].map(([key, entry]) => [plain(key), plain(entry)]))
  return value
}

class Machine {
  #at = 0
  readonly #stack: unknown[] = []
  readonly #memo = new Map<number, unknown>()

  constructor(readonly bytes: Buffer) {}

  run(): unknown {
    for (;;) {
      const opcode = this.#byte()
      if (opcode === 0x2e) return this.#pop() // STOP
      this.#step(opcode)
    }
  }

  #byte(): number {
    const at = this.#skip(1)
    return this.bytes.readUInt8(at)
  }

  #uint32(): number {
    return this.bytes.readUInt32LE(this.#skip(4))
  }

  /** Where the next `count` bytes begin. */
  #skip(count: number): number {
    const at = this.#at
    if (at + count > this.bytes.length) throw new RangeError()
    this.#at += count
    return at
  }

  #take(count: number): Buffer {
    const at = this.#skip(count)
    return this.bytes.subarray(at, at + count)
  }

  #line(): string {
    const end = this.bytes.indexOf(0x0a, this.#at)
    if (end < 0) throw new RangeError()
    return this.#take(end - this.#at + 1)
      .toString('utf8')
      .trimEnd()
  }

  #pop(): unknown {
    if (!this.#stack.length) throw invalid('its pickle is damaged; save the file again')
    return this.#stack.pop()
  }

  #popToMark(): unknown[] {
    const at = this.#stack.lastIndexOf(mark)
    if (at < 0) throw invalid('its pickle is damaged; save the file again')
    const items = this.#stack.splice(at)
    return items.slice(1)
  }

  #popped(count: number): unknown[] {
    return Array.from({ length: count }, () => this.#pop()).reverse()
  }

  #step(opcode: number): void {
    const value = this.#values[opcode]
    if (value) {
      this.#stack.push(value())
      return
    }
    const effect = this.#effects[opcode]
    if (!effect)
      throw invalid(`its pickle has the instruction 0x${opcode.toString(16)}, which numpy writes for no array of numbers`)
    effect()
  }

  /** Instructions that push what they give. */
  readonly #values: Readonly<Record<number, () => unknown>> = {
    40: () => mark,
    41: () => [], // EMPTY_TUPLE
    66: () => this.#take(this.#uint32()), // BINBYTES
    67: () => this.#take(this.#byte()), // SHORT_BINBYTES
    74: () => this.bytes.readInt32LE(this.#skip(4)), // BININT
    71: () => this.bytes.readDoubleBE(this.#skip(8)), // BINFLOAT
    75: () => this.#byte(), // BININT1
    77: () => this.bytes.readUInt16LE(this.#skip(2)), // BININT2
    78: () => null,
    82: () => reduce(...(this.#popped(2) as [unknown, unknown])), // REDUCE
    88: () => this.#take(this.#uint32()).toString('utf8'), // BINUNICODE
    93: () => [], // EMPTY_LIST
    99: () => new Name(`${this.#line()}.${this.#line()}`), // GLOBAL
    104: () => this.#memo.get(this.#byte()), // BINGET
    106: () => this.#memo.get(this.#uint32()), // LONG_BINGET
    116: () => this.#popToMark(), // TUPLE
    125: () => new Map(), // EMPTY_DICT
    133: () => this.#popped(1), // TUPLE1
    134: () => this.#popped(2),
    135: () => this.#popped(3),
    136: () => true,
    137: () => false,
    138: () => this.#long(this.#byte()), // LONG1
    140: () => this.#take(this.#byte()).toString('utf8'), // SHORT_BINUNICODE
    142: () => this.#take(Number(this.bytes.readBigUInt64LE(this.#skip(8)))), // BINBYTES8
    147: () => new Name(this.#popped(2).join('.')), // STACK_GLOBAL
  }

  /** Instructions that change what is on the stack already. */
  readonly #effects: Readonly<Record<number, () => void>> = {
    97: () => this.#append([this.#pop()]), // APPEND
    98: () => this.#build(this.#pop()), // BUILD
    101: () => this.#append(this.#popToMark()), // APPENDS
    113: () => this.#remember(this.#byte()), // BINPUT
    114: () => this.#remember(this.#uint32()), // LONG_BINPUT
    115: () => this.#set(this.#popped(2)), // SETITEM
    117: () => this.#set(this.#popToMark()), // SETITEMS
    128: () => this.#skip(1), // PROTO
    148: () => this.#remember(this.#memo.size), // MEMOIZE
    149: () => this.#skip(8), // FRAME
  }

  #remember(place: number): void {
    this.#memo.set(place, this.#stack.at(-1))
  }

  /** A little-endian integer in two's complement. */
  #long(count: number): number {
    const bytes = this.#take(count)
    const value = bytes.reduce((sum, byte, i) => sum + byte * 256 ** i, 0)
    return (bytes[count - 1] ?? 0) & 0x80 ? value - 256 ** count : value
  }

  #append(items: unknown[]): void {
    const list = this.#stack.at(-1)
    if (!Array.isArray(list)) throw invalid('its pickle is damaged; save the file again')
    list.push(...items)
  }

  #set(items: unknown[]): void {
    const map = this.#stack.at(-1)
    if (!(map instanceof Map)) throw invalid('its pickle is damaged; save the file again')
    for (let i = 0; i + 1 < items.length; i += 2) map.set(items[i], items[i + 1])
  }

  #build(state: unknown): void {
    const target = this.#stack.at(-1)
    if (target instanceof DType && Array.isArray(state)) target.order = String(state[1])
    else if (target instanceof Building && Array.isArray(state)) build(target, state)
    else throw invalid('its pickle has an object that is not an array')
  }
}

function reduce(callable: unknown, args: unknown): unknown {
  if (callable instanceof Name && Array.isArray(args)) {
    if (isReconstruct(callable)) return new Building()
    if (callable.text === 'numpy.dtype') return new DType(String(args[0]))
    if (isScalar(callable)) return scalar(args)
    throw invalid(`its pickle calls ${callable.text}, which is not allowed; only dictionaries of arrays are read`)
  }
  throw invalid('its pickle is damaged; save the file again')
}

/** One number of numpy, such as numpy.int64(3), as a number. */
function scalar([dtype, data]: unknown[]): number {
  if (!(dtype instanceof DType) || !Buffer.isBuffer(data)) throw invalid('its pickle has a damaged number; save the file again')
  return numbersOf(`${dtype.order}${dtype.code}`, [1], data).values[0] as number
}

/** The state of an array: (version, shape, dtype, in Fortran order?, its bytes or its list). */
function build(target: Building, [, shape, dtype, fortran, data]: unknown[]): void {
  if (!Array.isArray(shape) || !(dtype instanceof DType)) throw invalid('its pickle has a damaged array; save the file again')
  if (Array.isArray(data)) {
    target.result = data
    return
  }
  if (fortran === true && shape.length > 1) throw invalid('its array is in Fortran order; save it with numpy.ascontiguousarray')
  if (!Buffer.isBuffer(data)) throw invalid('its pickle has a damaged array; save the file again')
  target.result = numbersOf(`${dtype.order}${dtype.code}`, shape as number[], data)
}
