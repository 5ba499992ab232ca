import { Command } from 'commander'

/** `clip-es demo`: the embedded model on the scenes it comes with. */
export function demoCommand(): Command {
  return new Command('demo')
    .description('segment twelve scenes with the embedded model and make a page of the results')
    .option('-o, --out <dir>', 'folder for masks, overlays and the page', 'clip-es-demo')
    .action(async ({ out }: { out: string }) => {
      const { demo } = await import('./run.js')
      if (!(await demo(out))) process.exitCode = 1
    })
}
