import { InvalidArgumentError } from 'commander'
import { ClipEsError } from '../errors.js'

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

/** Words between commas; none for an empty text. */
export function words(text: string): string[] {
  if (text.trim() === '') return []
  const list = text.split(',').map((word) => word.trim())
  if (list.includes('')) throw new InvalidArgumentError('There is nothing between two of its commas, or at an end.')
  return list
}

/** One word or more between commas. */
export function someWords(text: string): string[] {
  const list = words(text)
  if (!list.length) throw new InvalidArgumentError('Expected words, with commas between them.')
  return list
}
