import { join } from 'node:path'
import { writeWhole } from 'clip-es/support'
import { readJournal } from './journal.js'

/**
 * Writes `labels.json` to the folder of a data set's results: the labels that were found, as `--labels` reads them.
 * @param names of the classes
 * @param settings settingsHash of the run
 * @returns the file
 */
export function writeFoundLabels(out: string, names: readonly string[], settings: string): string {
  const done = [...readJournal(out).values()].filter((entry) => entry.settings === settings && entry.failed === undefined)
  done.sort((a, b) => (a.id < b.id ? -1 : 1))
  const lines = done.map(({ id, labels = [], presence = [] }) => {
    const found = { labels: labels.map((label) => names[label] as string), presence }
    return ` ${JSON.stringify(id)}: ${JSON.stringify(found)}`
  })
  const file = join(out, 'labels.json')
  writeWhole(file, `{\n${lines.join(',\n')}\n}\n`)
  return file
}
