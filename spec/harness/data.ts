/**
 * Seeded data for laws: that of the parity path, which tries foreign backends on it.
 */
export { Data, type DataKind } from '../../src/testing/seeded_data.ts'
