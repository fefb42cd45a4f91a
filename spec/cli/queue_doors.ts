/**
 * Wrong values of the flags that have to do with queues, for door_table.ts.
 */
import { number, usage, whole, type Door } from './door.ts'

/** An address where nobody answers: a port that takes no connections. */
export const nobody = 'redis://127.0.0.1:1'

const noAddresses = usage(
  'QUEUE_URL',
  'an address such as redis://host:6379',
  '',
  'host',
  'http://host',
  'redis://h/a',
)

/** The rows. @param fresh a folder that is not there yet */
export function queueDoors(fresh: string): Record<string, Door> {
  return {
    '--queue <url>': {
      beside: ['--shards', fresh],
      wrong: [
        ...noAddresses,
        ...usage('QUEUE_URL', 'an address without a password', 'redis://:secret@host'),
        { value: nobody, exitCode: 5, code: 'QUEUE_CONNECTION', says: 'got ECONNREFUSED' },
      ],
    },
    'jobs --queue <url>': {
      wrong: [
        ...noAddresses,
        { value: nobody, exitCode: 5, code: 'QUEUE_CONNECTION', says: 'got ECONNREFUSED' },
      ],
    },
    '--shards <place>': { wrong: usage('FLAGS', 'both or none', 'folder') },
    'worker --shards <place>': {
      wrong: usage('SHARD_PLACE', 's3://bucket/prefix', 's3://', 's3://A', 's3://bucket/../other'),
    },
    '--concurrency <count>': whole(1, '65'),
    '--grace <seconds>': number('-1', '86401'),
    '--idle <seconds>': number('-1', '0', '86401'),
    '--lock <seconds>': number('-1', '0', '3601'),
  }
}
