import { readFileSync } from 'node:fs'

const types = { '<f4': Float32Array, '|u1': Uint8Array, '<i4': Int32Array } as const

export interface Npy {
  shape: number[]
  data: Float32Array | Uint8Array | Int32Array
}

/** Reads a .npy file of version 1, C order. */
export function readNpy(file: string): Npy {
  const bytes = readFileSync(file)
  const end = 10 + bytes.readUInt16LE(8)
  const header = bytes.toString('latin1', 10, end)
  const descr = /'descr': '([^']+)'/.exec(header)?.[1]
  const type = types[descr as keyof typeof types]
  if (!type || !header.includes("'fortran_order': False")) throw new Error(`${file}: ${header}`)
  const shape = (/'shape': \(([^)]*)\)/.exec(header)?.[1] ?? '').split(',').flatMap((size) => (size.trim() ? [Number(size)] : []))
  const body = new Uint8Array(bytes.subarray(end)).buffer
  return { shape, data: new type(body) }
}

/** Reads a binary .ppm photo. */
export function readPpm(file: string): { data: Uint8Array; width: number; height: number } {
  const bytes = readFileSync(file)
  const [, width, height] = /^P6\s+(\d+)\s+(\d+)\s+255\s/.exec(bytes.toString('latin1', 0, 40)) ?? []
  const size = Number(width) * Number(height) * 3
  return { data: bytes.subarray(bytes.length - size), width: Number(width), height: Number(height) }
}

/** The largest absolute difference; NaN counts as infinite. */
export function largestDifference(a: ArrayLike<number>, b: ArrayLike<number>): number {
  if (a.length !== b.length) return Number.POSITIVE_INFINITY
  let worst = 0
  for (let i = 0; i < a.length; i++) {
    const difference = Math.abs((a[i] as number) - (b[i] as number))
    if (!(difference <= worst)) worst = Number.isNaN(difference) ? Number.POSITIVE_INFINITY : difference
  }
  return worst
}
