import { Command } from 'commander'
import { type SetupOptions, setup } from '../setup/setup.js'

/** `clip-es setup`: finds or fetches LibTorch, and builds the native add-on if needed. */
export function setupCommand(): Command {
  return new Command('setup')
    .description('find or fetch LibTorch, and build the native add-on if needed')
    .option('--cuda', 'use a CUDA build of LibTorch for NVIDIA GPUs: that of Python, or one that pip fetches (about 3 GB)')
    .option('--build', 'build the add-on from source even if a usable one exists')
    .option('--quiet', 'print errors only')
    .action(async (options: SetupOptions) => {
      await setup(options)
    })
}
