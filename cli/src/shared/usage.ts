import { ClipEsError } from 'clip-es'
import { splitWords } from 'clip-es/support'
import { type Command, InvalidArgumentError, type Option } from 'commander'

/** A command line that asks for something impossible: exit status 2. */
export class UsageError extends Error {}

/** What `work` gives; an ERR_INVALID_ARG of it came from the command line and is a UsageError. */
export async function asUsage<T>(work: () => T | Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    if (error instanceof ClipEsError && error.code === 'ERR_INVALID_ARG') throw new UsageError(error.message)
    throw error
  }
}

/** Reads an option's number, commander's way: throws what commander reports. */
export function numberFrom(lowest: number, highest: number): (text: string) => number {
  return (text) => {
    const value = Number(text)
    if (text.trim() !== '' && value >= lowest && value <= highest) return value
    throw new InvalidArgumentError(`Expected a number from ${lowest} to ${highest}.`)
  }
}

export function integerFrom(lowest: number, highest: number): (text: string) => number {
  return (text) => {
    const value = Number(text)
    if (text.trim() !== '' && Number.isInteger(value) && value >= lowest && value <= highest) return value
    throw new InvalidArgumentError(`Expected a whole number from ${lowest} to ${highest}.`)
  }
}

/** One scale or more between commas. */
export function someScales(lowest: number, highest: number): (text: string) => number[] {
  const scale = numberFrom(lowest, highest)
  return (text) => text.split(',').map(scale)
}

/** Words between commas, as `splitWords` reads them. */
export function words(text: string): string[] {
  try {
    return splitWords(text)
  } catch (error) {
    throw new InvalidArgumentError((error as Error).message)
  }
}

/** One word or more between commas. */
export function someWords(text: string): string[] {
  const list = words(text)
  if (!list.length) throw new InvalidArgumentError('Expected words, separated by commas.')
  return list
}

type Parser = (text: string, before?: unknown) => unknown
const collectors = new WeakSet<Parser>()

/** For an option that may be given more than once: each value is added to the list. */
export function collecting<T>(parse: (text: string) => T): (text: string, before?: T[]) => T[] {
  const collect = (text: string, before: T[] = []) => [...before, parse(text)]
  collectors.add(collect as Parser)
  return collect
}

/** Makes it an error to give an option with a value twice: commander would silently drop the first value. */
export function refuseRepeats(command: Command): void {
  for (const option of command.options) {
    if (!(option.required || option.optional) || collectors.has(option.parseArg as Parser)) continue
    let seen = false
    command.on(`option:${option.name()}`, () => {
      if (seen) throw new UsageError(`${command.name()}: --${option.name()} is given twice; give it once${listHint(option)}`)
      seen = true
    })
  }
}

/** `<words>` take several values at once. */
const listHint = (option: Option): string => (option.flags.includes('<words>') ? ', with all its words separated by commas' : '')
