import { Command } from 'commander'
import { type SetupOptions, setup } from '../setup/setup.js'

/** `clip-es setup`: finds or fetches LibTorch, and sees to the add-on. */
export function setupCommand(): Command {
  return new Command('setup')
    .description('find or fetch LibTorch and see to the native add-on')
    .option('--cuda', "see to a CUDA build of LibTorch, for NVIDIA GPUs: Python's, or one that pip fetches (some 3 GB)")
    .option('--build', 'build the add-on from its sources even where a usable one is there')
    .option('--quiet', 'say nothing but errors')
    .action(async (options: SetupOptions) => {
      await setup(options)
    })
}
