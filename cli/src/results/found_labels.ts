import { join } from 'node:path'
import { writeParts } from '../files/write_parts.js'
import { JournalIndex } from './journal_index.js'

/**
 * Writes `labels.json` to the folder of a data set's results: the labels that were found, as `--labels` reads them.
 * @param names of the classes
 * @param settings settingsHash of the run
 * @returns the file
 */
export async function writeFoundLabels(out: string, names: readonly string[], settings: string): Promise<string> {
  const journal = await JournalIndex.read(out)
  try {
    const done: string[] = []
    for (const { id, failed, settings: of } of journal) if (of === settings && failed === undefined) done.push(id)
    const file = join(out, 'labels.json')
    await writeParts(file, linesFor(done.sort(), journal, names))
    return file
  } finally {
    journal.close()
  }
}

/** One line for each photo, so that the file of a million is never a text in memory. */
function* linesFor(ids: readonly string[], journal: JournalIndex, names: readonly string[]): Generator<string> {
  yield '{\n'
  for (const [i, id] of ids.entries()) {
    const { labels = [], presence = [] } = journal.get(id) ?? {}
    const found = { labels: labels.map((label) => names[label] as string), presence }
    yield `${i ? ',\n' : ''} ${JSON.stringify(id)}: ${JSON.stringify(found)}`
  }
  yield '\n}\n'
}
