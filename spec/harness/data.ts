/**
 * Seeded data for laws: that of parity, which tests foreign backends with it.
 */
export { Data } from '../../src/testing/seeded_data.ts'
