import { defaultLimits, logLevels } from 'clip-es-server/limits'
import { Command, Option } from 'commander'
import { defaultName, queueName, redisUrl, urlHelp } from '../queue/options.js'
import { addEngineOptions } from '../shared/engine_options.js'
import { collecting, integerFrom, numberFrom } from '../shared/usage.js'
import type { ServeArguments } from './options.js'

const examples = `
Examples:
  clip-es serve --model ViT-B-16.pt
  curl --data-binary @photo.jpg 'http://127.0.0.1:8080/v1/segment?classes=cat,dog' > mask.png
  clip-es serve --model ViT-B-16.pt --host 0.0.0.0 --api-keys keys.txt --tls-cert cert.pem --tls-key key.pem

The first line on standard output is "listening on http://…", when the server is ready. The API is described at /docs. Ctrl-C or SIGTERM
ends running requests, then the server; a second signal ends it at once. Exit status: 0, 1 if the server cannot start, 2 for a wrong command line.`

const mebi = 2 ** 20
const megabytes = numberFrom(0.001, 1e6)
const seconds = numberFrom(0.001, 1e6)

const addLimits = (command: Command): Command =>
  command
    .optionsGroup('Limits:')
    .option(
      '--queue <n>',
      `requests that may wait for the engine; more get 503 (default: ${defaultLimits.queue})`,
      integerFrom(0, 1e6),
    )
    .option('--photo-megabytes <n>', `largest file of a photo, in MiB (default: ${defaultLimits.photoBytes / mebi})`, megabytes)
    .option(
      '--photo-megapixels <n>',
      `largest photo, checked before it is decoded (default: ${defaultLimits.photoPixels / 1e6})`,
      numberFrom(0.001, 2000),
    )
    .option(
      '--upload-megabytes <n>',
      `MiB of uploads that all requests hold together; more get 503 (default: ${defaultLimits.uploadBytes / mebi})`,
      megabytes,
    )
    .option(
      '--store-megabytes <n>',
      `MiB that the photos of POST /v1/images take together (default: ${defaultLimits.storeBytes / mebi})`,
      megabytes,
    )
    .option(
      '--store-seconds <n>',
      `how long such a photo is kept after its last use (default: ${defaultLimits.storeTime / 1000})`,
      seconds,
    )
    .option(
      '--upload-seconds <n>',
      `time in which a request must have arrived (default: ${defaultLimits.uploadTime / 1000})`,
      seconds,
    )
    .option(
      '--request-seconds <n>',
      `time in which a request must be answered (default: ${defaultLimits.requestTime / 1000})`,
      seconds,
    )
    .option('--close-seconds <n>', 'time that running requests have to end after a signal', seconds, 30)

const addRemote = (command: Command): Command =>
  command
    .optionsGroup('Photos by URL (for Label Studio and batches):')
    .option(
      '--remote-host <host>',
      "host from which photos may be fetched: example.org, '*.example.org' or example.org:8443; may be given more than once",
      collecting((text) => text),
    )
    .option(
      '--private-host <host>',
      'such a host that may have an address of this machine or of a private network; may be given more than once',
      collecting((text) => text),
    )
    .option(
      '--label-studio <url>',
      'where Label Studio is, such as http://localhost:8080, for photos that were uploaded to it; their access token is in CLIP_ES_LABEL_STUDIO_TOKEN',
    )

const addBatches = (command: Command): Command =>
  command
    .optionsGroup('Batches (POST /v1/batches):')
    .option('--batch-queue <url>', `let clip-es worker do batches: ${urlHelp}`, redisUrl)
    .option('--batch-name <name>', 'name of the queue, if one Redis serves several', queueName, defaultName)
    .option(
      '--batch-root <dir>',
      'folder of photos and results that every worker sees as its --root (default: the current folder)',
    )
    .option(
      '--callback-host <host>',
      'host that batches may call back, as --remote-host; may be given more than once',
      collecting((text) => text),
    )
    .option(
      '--private-callback-host <host>',
      'such a host that may have an address of this machine or of a private network; may be given more than once',
      collecting((text) => text),
    )

/** `clip-es serve`: the server. */
export function serveCommand(): Command {
  const command = new Command('serve')
    .description('answer requests over HTTP: photos and words in, masks out')
    .optionsGroup('Where:')
    .option('--host <address>', 'address to listen on', '127.0.0.1')
    .option('--port <n>', 'port to listen on; 0 chooses a free one', integerFrom(0, 65535), 8080)
    .option('--tls-cert <file>', 'certificate chain (PEM), for https')
    .option('--tls-key <file>', 'its key (PEM)')
    .option('--trust-proxy', 'behind a proxy on this machine: believe its X-Forwarded-… headers')
    .option('--no-page', 'answer requests only: without the page at /')
    .optionsGroup('Who:')
    .option('--api-keys <file>', 'file of the keys that requests must have, one a line; it is read again when it changes')
    .option('--open', 'serve everyone who can reach --host, without keys')
    .option(
      '--cors <origin>',
      "origin whose pages may use the server, such as https://example.org, or '*'; may be given more than once",
      collecting((text) => text),
    )
    .optionsGroup('What to look for:')
    .option(
      '--class-file <file>',
      "JSON file of classes that requests can use by the file's name; may be given more than once (voc, coco and emoji are always there)",
      collecting((text) => text),
    )
  return addEngineOptions(addLimits(addBatches(addRemote(command))).optionsGroup('How:'))
    .addOption(
      new Option('--log <level>', 'write JSON lines of this level and above to standard error (default: none)').choices(
        logLevels,
      ),
    )
    .optionsGroup('Help:')
    .helpOption('-h, --help', 'show this help')
    .addHelpText('after', examples)
    .action(async (given: ServeArguments) => {
      const { runServer } = await import('./run.js')
      await runServer(given)
    })
}
