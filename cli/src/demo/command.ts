import { Command } from 'commander'

/** `clip-es demo`: the embedded model on the scenes it comes with. */
export function demoCommand(): Command {
  return new Command('demo')
    .description('segment twelve scenes with the embedded model, without and with the CRF, and show the results as a page')
    .option('-o, --out <dir>', 'folder for the masks and the page', 'clip-es-demo')
    .action(async ({ out }: { out: string }) => {
      const { demo } = await import('./run.js')
      if (!(await demo(out))) process.exitCode = 1
    })
}
