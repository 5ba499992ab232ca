import { Command } from 'commander'
import { type SetupOptions, setup } from './setup.js'

/** `clip-es setup`: finds or fetches LibTorch, which only GPUs and CPUs with AMX use. */
export function setupCommand(): Command {
  return new Command('setup')
    .description('find LibTorch, which only GPUs and CPUs with AMX use; with --cuda, fetch it if there is none')
    .option('--cuda', "for NVIDIA GPUs: use Python's CUDA build of LibTorch, or fetch one with pip (about 3 GB)")
    .option('--quiet', 'print only errors')
    .action(async (options: SetupOptions) => {
      await setup(options)
    })
}
