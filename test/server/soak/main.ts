// npm run soak:server -- [COUNT] [SEED]: the long form of the soak and of the fuzz, by default 10,000 requests each.
import { fuzz } from './fuzz.js'
import { soak } from './soak.js'

const [count = 10_000, seed = 1] = process.argv.slice(2).map(Number)

async function main(): Promise<void> {
  const { kinds, early, late } = await soak(count, seed)
  const megabytes = (bytes: number) => (bytes / 2 ** 20).toFixed(0)
  console.log(`soak: ${count} requests, all answers right: ${JSON.stringify(kinds)}`)
  console.log(`memory after a quarter ${megabytes(early)} MiB, at the end ${megabytes(late)} MiB`)
  console.log(`fuzz: ${count} requests by status: ${JSON.stringify(await fuzz(count, seed))}`)
}

main().catch((error: unknown) => {
  console.error(error)
  process.exitCode = 1
})
