import { readdirSync } from 'node:fs'
import { join } from 'node:path'

/** Whether a folder holds the results of `dataset` or `crf`, which keep a journal there. */
export function isRunFolder(folder: string): boolean {
  try {
    return readdirSync(join(folder, 'journal')).some((name) => /^(crf|queue-.+|\d+-of-\d+)\.jsonl$/.test(name))
  } catch {
    return false
  }
}
