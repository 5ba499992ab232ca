import { Command } from 'commander'
import { integerFrom } from '../shared/usage.js'
import type { ReportOptions } from './run.js'

/** `clip-es report`: a page about results that were evaluated. */
export function reportCommand(): Command {
  return new Command('report')
    .description('make an HTML page of the scores of clip-es eval: table, curves, best and worst pictures')
    .argument('[results]', 'the folder that clip-es eval evaluated', 'clip-es-out')
    .option('-o, --out <file>', 'where to write the page (default: RESULTS/report.html)')
    .option('--photos <dir>', 'folder of the photos (default: where clip-es dataset found them)')
    .option('--title <text>', 'title of the page (default: the data set)')
    .option('--pictures <n>', 'how many of the best pictures to show, and how many of the worst', integerFrom(0, 1000), 6)
    .action(async (results: string, options: ReportOptions) => {
      const { report } = await import('./run.js')
      await report(results, options)
    })
}
