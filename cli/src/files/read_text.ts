import { invalid, readRegularSync } from 'clip-es/support'

/**
 * A text file's content: UTF-8, or UTF-16 with a byte-order mark, which PowerShell's `>` writes. The mark is left out.
 * @throws ERR_INVALID_ARG for other encodings, so that names with accents are not silently changed
 */
export function readText(file: string): string {
  const bytes = readRegularSync(file)
  const [a, b] = bytes
  const encoding = a === 0xff && b === 0xfe ? 'utf-16le' : a === 0xfe && b === 0xff ? 'utf-16be' : 'utf-8'
  try {
    return new TextDecoder(encoding, { fatal: true }).decode(bytes)
  } catch {
    throw invalid(`is not ${encoding.toUpperCase()} text; save it as UTF-8`)
  }
}
