/**
 * Writes dist/, the package as published (scripts/package/build.ts).
 *
 *   node scripts/node.mjs scripts/build.ts
 */
import { build } from './package/build.ts'

await build()
