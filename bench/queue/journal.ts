// What a producer does before and after the queue: it finds the entry of every photo in the journal of the results.
import { appendFileSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import type { JournalEntry } from '../../cli/src/results/journal.js'
import { JournalIndex } from '../../cli/src/results/journal_index.js'
import type { PhotoList } from '../../cli/src/sources/photo_list.js'

const parts = 100 // as many workers have written it
const settings = '0123456789abcdef'

/** Writes the journal of a data set that is done, as workers of a queue leave it. */
export function writeJournal(out: string, photos: PhotoList): void {
  mkdirSync(join(out, 'journal'), { recursive: true })
  const lines: string[][] = Array.from({ length: parts }, () => [])
  const write = (part: number) => {
    appendFileSync(join(out, 'journal', `queue-worker-${part}.jsonl`), lines[part]?.splice(0).join('') ?? '')
  }
  for (const [number, item] of photos.entries()) {
    const part = (number >> 6) % parts
    const entry: JournalEntry = { ...item, bytes: 100_000, modified: 1_700_000_000_000, settings, scores: [0.4312, 0.2217] }
    if ((lines[part]?.push(`${JSON.stringify(entry)}\n`) ?? 0) > 1000) write(part)
  }
  for (const part of lines.keys()) write(part)
}

/** How many photos the journal has. */
export async function countInJournal(out: string, photos: PhotoList): Promise<number> {
  const journal = await JournalIndex.read(out)
  let count = 0
  for (const { id } of photos) {
    if (journal.get(id)?.id === id) count++
    if (count % 1000 === 0) await new Promise((resolve) => setImmediate(resolve))
  }
  journal.close()
  return count
}
