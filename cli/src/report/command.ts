import { Command } from 'commander'
import { integerFrom } from '../usage.js'
import type { ReportOptions } from './run.js'

/** `clip-es report`: a page about results that were evaluated. */
export function reportCommand(): Command {
  return new Command('report')
    .description('make one HTML page of what clip-es eval found: table, curves, best and worst pictures')
    .argument('[results]', 'the folder that clip-es eval looked at', 'clip-es-out')
    .option('-o, --out <file>', 'the page; default RESULTS/report.html')
    .option('--photos <dir>', 'folder of the photos; default: where clip-es dataset found them')
    .option('--title <text>', 'of the page; default: the data set')
    .option('--pictures <n>', 'how many of the best, and of the worst', integerFrom(0, 1000), 6)
    .action(async (results: string, options: ReportOptions) => {
      const { report } = await import('./run.js')
      await report(results, options)
    })
}
