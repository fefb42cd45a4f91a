/** Prints for how many bytes of this process large pages are asked for: before a backend holds anything, with 4 MiB, and with 324 MiB. */
import { readFileSync } from 'node:fs'
import { createBackend } from '../../src/backends/select.ts'

const MEBI = 1 << 20

/** Bytes of all ranges of memory with the flag of large pages. */
function asked(): number {
  const ranges = readFileSync('/proc/self/smaps', 'utf8').split(/^(?=[\da-f]+-[\da-f]+ )/m)
  return ranges
    .filter((range) => /^VmFlags:.* hg\b/m.test(range))
    .reduce((sum, range) => sum + 1024 * Number(/^Size:\s+(\d+) kB/m.exec(range)?.[1]), 0)
}

const backend = await createBackend('wasm', { threads: Number(process.argv[2]) })
const sums = [asked()]
backend.allocate('f32', [MEBI])
sums.push(asked())
backend.allocate('f32', [16 * MEBI])
backend.allocate('f32', [64 * MEBI])
sums.push(asked())
backend.dispose()
console.log(JSON.stringify(sums))
