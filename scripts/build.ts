/**
 * Writes dist/ (scripts/package/build.ts says what that is).
 *
 *   node scripts/node.mjs scripts/build.ts
 */
import { build } from './package/build.ts'

await build()
