import { ClipEsError } from './errors.js'

type NumberArray = Uint8Array | Int32Array | Float32Array

/**
 * New memory. JavaScript reports a lack of it as a RangeError.
 * @param what the call and the array, for the error message
 * @throws ERR_OUT_OF_MEMORY
 */
export function allocate<T extends NumberArray>(
  what: string,
  type: new (length: number) => T,
  length: number,
  remedy = 'take a smaller photo or fewer labels',
): T {
  try {
    return new type(length)
  } catch (cause) {
    throw new ClipEsError('ERR_OUT_OF_MEMORY', `${what} needs ${length} elements, more than can be allocated; ${remedy}`, {
      cause,
    })
  }
}
