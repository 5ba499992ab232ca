import { resolve } from 'node:path'
import { Argument, Command } from 'commander'
import { addNameOption, address, redisUrl, urlHelp } from '../queue/options.js'
import { deviceFrom } from '../shared/engine_options.js'
import { collecting, integerFrom } from '../shared/usage.js'
import type { WorkerOptions } from './options.js'

/** `clip-es worker`: does photos that producers put into a queue. */
export function workerCommand(): Command {
  const command = new Command('worker')
    .description(
      'do photos that clip-es dataset --queue puts into a queue, until it is stopped: by the first signal after its jobs, by the second at once',
    )
    .addArgument(new Argument('<url>', urlHelp).argParser(redisUrl))
  return addNameOption(command)
    .option('--root <dir>', "the folder that is the producer's --root, as this machine sees it", '.')
    .option(
      '--model <path>',
      'CLIP model, or a folder of models; the run says which one is needed. May be repeated (default: $CLIP_ES_MODEL, else the embedded demo model)',
      collecting((path) => path),
      [],
    )
    .option('--device <device>', 'auto, cpu, cuda or cuda:N (default: auto)', deviceFrom)
    .option('--threads <n>', 'number of threads (default: the physical cores)', integerFrom(1, 1024))
    .option('--concurrency <n>', 'photos computed at the same time (default: 4, or as many as threads)', integerFrom(1, 64))
    .option('--metrics <address>', 'serve /metrics for Prometheus, and /health, at [host:]port', address)
    .option('--stalled-after <s>', 'seconds after which a worker that does not answer has lost its job', integerFrom(1, 3600), 30)
    .option('--until-done', 'end when no run has had work for some seconds', false)
    .helpOption('-h, --help', 'show this help')
    .action(async (url: string, options: Omit<WorkerOptions, 'url'>) => {
      const { worker } = await import('./run.js')
      if (!(await worker({ ...options, url, root: resolve(options.root) }))) process.exitCode = 1
    })
}
