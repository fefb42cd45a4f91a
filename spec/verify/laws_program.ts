/**
 * A program of Node and of Deno that tries a part of the suite on a backend, and prints a report a line: `laws_program.ts webgpu 0 3 1 7`
 * tries the first third on WebGPU, with all cases of seed 7.
 */
import { verify } from '../../src/verify/index.ts'
import { lawsOfPart } from './part_of_suite.ts'

const [backend, part, of, runs, seed] = process.argv.slice(2)
const laws = lawsOfPart({ share: [Number(part), Number(of)] })
for await (const report of verify({ backends: [backend], runs: Number(runs), seed: Number(seed), laws }))
  console.log(JSON.stringify(report))
