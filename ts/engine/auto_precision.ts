import { multipliesBfloat16 } from './native.js'

/** What `precision: 'auto'` means on a CPU: bfloat16 if the CPU multiplies it, else float32, which is then faster. */
export function autoPrecision(): 'float32' | 'bfloat16' {
  try {
    return multipliesBfloat16() ? 'bfloat16' : 'float32'
  } catch {
    return 'float32' // no add-on: loading a model says why
  }
}
