import { type Device, defaults, type LoadOptions, type Precision } from 'clip-es'
import { precisions } from 'clip-es/support'
import { type Command, InvalidArgumentError, Option } from 'commander'
import { integerFrom } from './usage.js'

/** What a command line says of the model and of how it runs. */
export interface EngineOptions {
  model?: string
  precision?: Precision
  device?: Device
  threads?: number
  concurrency?: number
  maxSide?: number
  weightsFolder?: string
}

/** The engine options among those of a command. */
export function loadOptions(given: EngineOptions): LoadOptions {
  const { model, precision, device, threads, concurrency, maxSide, weightsFolder } = given
  return { model, precision, device, threads, concurrency, maxSide, weightsFolder }
}

export function deviceFrom(text: string): Device {
  if (/^(auto|cpu|cuda(:\d+)?)$/.test(text)) return text as Device
  throw new InvalidArgumentError('Expected auto, cpu, cuda or cuda:N.')
}

const maxSide = (text: string): number => (text === 'none' ? Number.POSITIVE_INFINITY : integerFrom(1, 2 ** 31 - 1)(text))

/** Adds them to a command that loads a model. */
export const addEngineOptions = (command: Command): Command =>
  command
    .option('--model <file>', 'CLIP model (default: $CLIP_ES_MODEL, else the embedded demo model)')
    .addOption(new Option('--precision <name>', 'number format of the matrix products (default: auto)').choices(precisions))
    .option('--device <device>', 'auto, cpu, cuda or cuda:N (default: auto)', deviceFrom)
    .option('--threads <n>', 'number of threads (default: the physical cores)', integerFrom(1, 1024))
    .option('--concurrency <n>', 'photos computed at the same time (default: 4, or as many as threads)', integerFrom(1, 64))
    .option(
      '--max-side <n>',
      `longest side of the image in the network, or 'none' for no limit (default: ${defaults.maxSide})`,
      maxSide,
    )
    .option('--weights-folder <dir>', 'keep prepared weights here: later runs load quickly, and processes share memory')
