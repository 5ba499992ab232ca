import { Command } from 'commander'
import { type SetupOptions, setup } from '../../setup/setup.js'

/** `clip-es setup`: builds the native add-on if needed, and finds or fetches LibTorch for GPUs. */
export function setupCommand(): Command {
  return new Command('setup')
    .description('build the native add-on if needed; with --cuda, find or fetch LibTorch')
    .option('--cuda', "for NVIDIA GPUs: use Python's CUDA build of LibTorch, or fetch one with pip (about 3 GB)")
    .option('--build', 'build the add-on from its sources even if there is a usable one')
    .option('--quiet', 'print only errors')
    .action(async (options: SetupOptions) => {
      await setup(options)
    })
}
