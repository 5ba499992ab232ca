// Machines of other kinds, for the tests of the doctor: some properties of Node's modules have other values for a while.
import childProcess from 'node:child_process'
import fs from 'node:fs'

/** Calls the function while some properties of an object have other values. */
export function having<T>(object: object, values: Record<string, unknown>, work: () => T): T {
  const before = Object.keys(values).map((name) => [name, Object.getOwnPropertyDescriptor(object, name)] as const)
  for (const [name, value] of Object.entries(values))
    Object.defineProperty(object, name, { value, configurable: true, writable: true })
  const restore = () => {
    for (const [name, descriptor] of before)
      if (descriptor) Object.defineProperty(object, name, descriptor)
      else Reflect.deleteProperty(object, name)
  }
  let isAsync = false
  try {
    const result = work()
    isAsync = result instanceof Promise
    return isAsync ? ((result as Promise<unknown>).finally(restore) as T) : result
  } finally {
    if (!isAsync) restore()
  }
}

/** Calls the function on a machine whose /proc/cpuinfo has this text, or that has no such file. */
export function onCpu<T>(info: string | undefined, arch: string, work: () => T): T {
  const { readFileSync } = fs
  const read = (path: string, ...rest: never[]) => {
    if (path !== '/proc/cpuinfo') return readFileSync(path, ...rest)
    if (info === undefined) throw new Error('ENOENT')
    return info
  }
  return having(process, { arch }, () => having(fs, { readFileSync: read }, work))
}

/** Calls the function where the add-on is this file, or there is none. */
export const withAddon = <T>(file: string | undefined, work: () => T): T => {
  const resolve = () => {
    if (file === undefined) throw new Error('none')
    return file
  }
  return having(require('node-gyp-build'), { resolve }, work)
}

/** What trying a model ends with, without a process. */
export const withTrial = <T>(run: object, work: (calls: unknown[][]) => T): T => {
  const calls: unknown[][] = []
  const spawnSync = (...args: unknown[]) => {
    calls.push(args)
    return { stdout: '', stderr: '', status: 0, signal: null, ...run }
  }
  return having(childProcess, { spawnSync }, () => work(calls))
}
