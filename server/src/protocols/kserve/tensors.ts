import { invalid } from 'clip-es/support'

// Tensors of bytes in the binary tensor data extension: each element is its length, 4 bytes little-endian, and as many bytes.

/** @throws ERR_INVALID_ARG for bytes that end within an element */
export function decodeBytes(name: string, binary: Buffer): Buffer[] {
  const elements: Buffer[] = []
  for (let at = 0; at < binary.length; ) {
    const length = at + 4 <= binary.length ? binary.readUInt32LE(at) : Number.POSITIVE_INFINITY
    if (at + 4 + length > binary.length)
      throw invalid(
        `the binary data of ${name} ends within an element; each is its length (4 bytes, little-endian) and as many bytes: correct what sends it`,
      )
    elements.push(binary.subarray(at + 4, at + 4 + length))
    at += 4 + length
  }
  return elements
}

export function encodeBytes(elements: readonly Uint8Array[]): Buffer {
  return Buffer.concat(
    elements.flatMap((element) => {
      const length = Buffer.alloc(4)
      length.writeUInt32LE(element.length)
      return [length, element]
    }),
  )
}

/** A text of a tensor. @throws ERR_INVALID_ARG */
export function decodeText(name: string, bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch (cause) {
    throw invalid(`${name} has an element that is not UTF-8; send words as UTF-8`, { cause })
  }
}
