import { readSync } from 'node:fs'

const piece = 2 ** 16 // bytes that are read at once
const newline = 10

/** A line of a file, without its end. */
export interface Line {
  /** Valid until the next line is asked for. */
  bytes: Buffer
  /** Where it begins in the file. */
  at: number
}

/**
 * The lines of an open file, whatever its length is. A last line without an end is one, too.
 * @param start where the first line begins
 */
export function* linesOf(file: number, start = 0): Generator<Line> {
  let buffer = Buffer.allocUnsafe(piece)
  let [at, length] = [start, 0] // of the buffer's bytes in the file
  for (;;) {
    if (length === buffer.length) buffer = Buffer.concat([buffer], 2 * length) // a line longer than the buffer
    const read = readSync(file, buffer, length, buffer.length - length, at + length)
    if (read === 0) break
    length += read
    let begin = 0
    for (let end = buffer.indexOf(newline); end >= 0 && end < length; end = buffer.indexOf(newline, begin)) {
      yield { bytes: buffer.subarray(begin, end), at: at + begin }
      begin = end + 1
    }
    buffer.copy(buffer, 0, begin, length)
    at += begin
    length -= begin
  }
  if (length) yield { bytes: buffer.subarray(0, length), at }
}

/** The line that begins at a place of an open file. */
export function lineAt(file: number, at: number): Buffer {
  let buffer = Buffer.allocUnsafe(1024)
  for (let length = 0; ; ) {
    const read = readSync(file, buffer, length, buffer.length - length, at + length)
    const end = buffer.subarray(0, length + read).indexOf(newline, length)
    if (end >= 0 || read === 0) return buffer.subarray(0, end < 0 ? length : end)
    length += read
    if (length === buffer.length) buffer = Buffer.concat([buffer], 2 * length)
  }
}
