import { readdirSync, readFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { usableCores } from './native.js'

/** Cores that are not another's hyper-thread, as far as this process may use them. */
export function physicalCores(): number {
  const folder = '/sys/devices/system/cpu'
  try {
    const siblings = readdirSync(folder)
      .filter((name) => /^cpu\d+$/.test(name))
      .map((name) => readFileSync(`${folder}/${name}/topology/thread_siblings_list`, 'utf8'))
    return Math.max(1, Math.min(new Set(siblings).size, availableParallelism()))
  } catch {
    return availableParallelism() // no such files in some containers
  }
}

/** The default number of threads: the physical cores, as far as the container's CPU limit allows. */
export function defaultThreads(): number {
  const cores = physicalCores()
  try {
    return Math.min(cores, usableCores())
  } catch {
    return cores // no add-on: loading a model says why
  }
}
