import { ClipEsError } from './errors.js'

type NumberArray = Uint8Array | Int32Array | Float32Array

/** New memory. JavaScript reports a lack of it as a RangeError. @throws ERR_OUT_OF_MEMORY */
export function allocate<T extends NumberArray>(what: string, type: new (length: number) => T, length: number): T {
  try {
    return new type(length)
  } catch (cause) {
    throw new ClipEsError(
      'ERR_OUT_OF_MEMORY',
      `${what}: ${length} elements are more than can be allocated; take a smaller photo or fewer labels`,
      { cause },
    )
  }
}
