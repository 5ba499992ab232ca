// Runs test files that use uvu. tsx compiles them.
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { add, countTests, failure, none } from './counts.mjs'
import { runNode } from './process.mjs'

/** The test files of a folder in order. They begin with a number, such as 10.classes.ts; shared code does not. */
export function testFiles(folder) {
  if (!existsSync(folder)) return []
  return readdirSync(folder)
    .filter((name) => /^\d+\..*\.ts$/.test(name))
    .sort()
    .map((name) => `${folder}/${name}`)
}

/** Two files with one number are a failure: the numbers are the reading order. */
function countEqualNumbers(files) {
  const number = (file) => file.match(/(\d+)\.[^/]*$/)?.[1]
  return files
    .filter((file, i) => i > 0 && number(file) === number(files[i - 1]))
    .map((file) => failure(`${file} has the number of another test file: rename it`))
    .reduce(add, none)
}

/** The totals that uvu prints at the end. */
export function uvuTotals(output) {
  const lastNumber = (word) => {
    const found = [...output.matchAll(new RegExp(`^\\s*${word}:\\s+(\\d+)`, 'gm'))].at(-1)
    return Number(found?.[1] ?? Number.NaN)
  }
  return { total: lastNumber('Total'), passed: lastNumber('Passed'), skipped: lastNumber('Skipped') }
}

/**
 * Runs one file and counts its tests.
 * @param program the Node.js that runs it
 * @param imports modules to load before the file
 * @param quiet prints the output at the end, because other files run at the same time
 */
export async function runUvuFile(file, { run = runNode, imports = [], quiet = false } = {}) {
  if (!quiet) console.log(`\n${file}`)
  const result = await run([...['tsx', ...imports].flatMap((name) => ['--import', name]), file], { quiet })
  if (quiet) console.log(`\n${file}\n${result.output}`)
  const counts = countTests(file, result, uvuTotals(result.output))
  if (!/[tT]est\.only\(/.test(readFileSync(file, 'utf8'))) return counts
  return add(counts, failure(`${file} calls test.only(), so its other tests did not run: remove it`))
}

/** A suite of uvu files, `workers` of which run at the same time. */
export function uvuSuite(files, { workers = 1, ...options } = {}) {
  return {
    exists: files.length > 0,
    async run() {
      let sum = countEqualNumbers(files)
      const waiting = [...files]
      const work = async () => {
        for (let file = waiting.shift(); file; file = waiting.shift()) {
          const counts = await runUvuFile(file, { ...options, quiet: workers > 1 })
          sum = add(sum, counts)
        }
      }
      await Promise.all(Array.from({ length: workers }, work))
      return sum
    },
  }
}
