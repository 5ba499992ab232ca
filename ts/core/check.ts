import { inspect, types } from 'node:util'
import { type ClipEsError, invalid } from './errors.js'
import { nearest } from './nearest.js'

/** A value as an error message shows it, cut short. */
export function show(value: unknown): string {
  const text = inspect(value, { depth: 0, maxArrayLength: 3, breakLength: Number.POSITIVE_INFINITY })
  return text.length > 60 ? `${text.slice(0, 57)}...` : text
}

/** ERR_INVALID_ARG: what the call was given, and what it takes. */
export const wrong = (call: string, name: string, value: unknown, expected: string) =>
  invalid(`${call}: ${name} is ${show(value)}; expected ${expected}`)

/** A word that is not among the known ones, with the nearest that is. */
export function unknownWord(call: string, what: string, word: string, known: readonly string[]): ClipEsError {
  const near = nearest(word, known)
  const list = known.length > 12 ? `${known.slice(0, 12).join(', ')}, …` : known.join(', ')
  return invalid(`${call}: unknown ${what} ${show(word)}; ${near ? `did you mean '${near}'? ` : ''}known: ${list}`)
}

/** Options are an object, or left out, and have no names but the known ones. */
export function checkOptions<T extends object>(call: string, options: T | undefined, known: readonly (keyof T & string)[]): T {
  if (options === undefined) return {} as T
  if (typeof options !== 'object' || options === null || Array.isArray(options))
    throw wrong(call, 'options', options, 'an object')
  for (const name of Object.keys(options))
    if (!known.includes(name as keyof T & string)) throw unknownWord(call, 'option', name, known)
  return options
}

export function checkNumber(call: string, name: string, value: unknown, lowest: number, highest: number): number {
  if (typeof value === 'number' && value >= lowest && value <= highest) return value
  const range = highest === Number.POSITIVE_INFINITY ? `of ${lowest} or more` : `from ${lowest} to ${highest}`
  throw wrong(call, name, value, `a number ${range}`)
}

export function checkInteger(call: string, name: string, value: unknown, lowest: number, highest: number): number {
  if (Number.isInteger(value) && (value as number) >= lowest && (value as number) <= highest) return value as number
  throw wrong(call, name, value, `a whole number from ${lowest} to ${highest}`)
}

export function checkBoolean(call: string, name: string, value: unknown): boolean {
  if (typeof value === 'boolean') return value
  throw wrong(call, name, value, 'true or false')
}

export function checkOneOf<T extends string>(call: string, name: string, value: unknown, known: readonly T[]): T {
  if (known.includes(value as T)) return value as T
  if (typeof value === 'string') throw unknownWord(call, name, value, known)
  throw wrong(call, name, value, known.map((k) => `'${k}'`).join(' or '))
}

export function checkText(call: string, name: string, value: unknown): string {
  if (typeof value === 'string' && value.trim() !== '') return value
  throw wrong(call, name, value, 'a text that is not empty')
}

/** A copy of an array of so many elements; holes become undefined. */
export function checkArray(
  call: string,
  name: string,
  value: unknown,
  lowest: number,
  highest = Number.POSITIVE_INFINITY,
): readonly unknown[] {
  if (!Array.isArray(value)) throw wrong(call, name, value, 'an array')
  if (value.length >= lowest && value.length <= highest) return Array.from(value)
  throw invalid(
    `${call}: ${name} has ${value.length} elements; expected ${lowest}${highest === Number.POSITIVE_INFINITY ? ' or more' : ` to ${highest}`}`,
  )
}

/** Throws ERR_INVALID_ARG at the first element that stands a second time. */
export function checkUnique(call: string, name: string, values: readonly string[]): void {
  const seen = new Set<string>()
  for (const value of values) {
    if (seen.has(value)) throw invalid(`${call}: ${name} has ${show(value)} twice; leave one out`)
    seen.add(value)
  }
}

export function checkSignal(call: string, signal: unknown): AbortSignal | undefined {
  if (signal === undefined || Object.prototype.toString.call(signal) === '[object AbortSignal]')
    return signal as AbortSignal | undefined
  throw wrong(call, 'signal', signal, 'an AbortSignal')
}

/** Memory that native code may read or write while JavaScript goes on: of this thread alone, and of a fixed size. */
export function checkMemory(call: string, name: string, array: ArrayBufferView): void {
  const buffer = array.buffer as ArrayBufferLike & { resizable?: boolean; growable?: boolean; detached?: boolean }
  if (types.isSharedArrayBuffer(buffer))
    throw invalid(`${call}: ${name} lies in a SharedArrayBuffer, which other threads may change; copy it first`)
  if (buffer.resizable)
    throw invalid(`${call}: ${name} lies in a resizable ArrayBuffer, which may shrink while it is in use; copy it first`)
  if (buffer.detached) throw invalid(`${call}: ${name} lies in a detached ArrayBuffer: it was transferred away`)
}

/** Memory that was checked before may have been transferred away since. */
export function checkAttached(call: string, name: string, { byteLength }: ArrayBufferView): void {
  if (byteLength === 0) throw invalid(`${call}: ${name} was transferred away before the call ended; wait for the result first`)
}
