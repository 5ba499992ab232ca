import { Command } from 'commander'
import { addEngineOptions } from '../shared/engine_options.js'
import { collecting, integerFrom } from '../shared/usage.js'
import type { ServeArguments } from './options.js'

const examples = `
Examples:
  clip-es serve --model ViT-B-16.pt
  curl --data-binary @photo.jpg 'http://127.0.0.1:8080/v1/segment?classes=cat,dog' > mask.png

The first line is "listening on http://…", when the server is ready. Ctrl-C or SIGTERM ends running requests, then the server.
Exit status: 0, 1 if the server cannot start, 2 for a wrong command line.`

/** `clip-es serve`: the server. */
export function serveCommand(): Command {
  const command = new Command('serve')
    .description('answer requests over HTTP: photos and words in, masks out')
    .optionsGroup('Where:')
    .option('--host <address>', 'address to listen on', '127.0.0.1')
    .option('--port <n>', 'port to listen on; 0 chooses a free one', integerFrom(0, 65535), 8080)
    .optionsGroup('What to look for:')
    .option(
      '--class-file <file>',
      "JSON file of classes that requests can use by the file's name; may be given more than once (voc, coco and emoji are always there)",
      collecting((text) => text),
    )
  return addEngineOptions(command)
    .optionsGroup('Help:')
    .helpOption('-h, --help', 'show this help')
    .addHelpText('after', examples)
    .action(async (given: ServeArguments) => {
      const { runServer } = await import('./run.js')
      await runServer(given)
    })
}
