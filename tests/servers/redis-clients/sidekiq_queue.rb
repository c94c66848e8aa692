# Sidekiq for tests: sidekiq_queue.rb PORT QUEUE
# Reads one command a line and replies with one line of JSON:
#   add N, delay N MS   pushes jobs
#   take N       what a process of Sidekiq takes; it keeps them in memory
#   schedule     what Sidekiq's poller does every few seconds
#   counts       what Sidekiq counts
require "json"
require "sidekiq"
require "sidekiq/api"
require "sidekiq/fetch"
require "sidekiq/scheduled"

port, name = ARGV
Sidekiq.logger.level = Logger::ERROR
# Debian's Sidekiq is older than its client library.
Redis.silence_deprecations = true
Sidekiq.configure_client { |config| config.redis = {url: "redis://127.0.0.1:#{port}/0"} }

push = lambda do |n, more|
  n.times { |i| Sidekiq::Client.push({"class" => "Job", "queue" => name, "args" => [i]}.merge(more)) }
  nil
end

commands = {
  "add" => ->(n) { push.call(n, {}) },
  "delay" => ->(n, ms) { push.call(n, {"at" => Time.now.to_f + ms / 1000.0}) },
  "take" => lambda do |n|
    fetch = Sidekiq::BasicFetch.new(queues: [name])
    n.times.count { fetch.retrieve_work }
  end,
  "schedule" => -> { Sidekiq::Scheduled::Enq.new.enqueue_jobs && nil },
  "counts" => lambda do
    {
      queue: Sidekiq::Queue.new(name).size,
      schedule: Sidekiq::ScheduledSet.new.size,
      retry: Sidekiq::RetrySet.new.size
    }
  end
}

$stdout.sync = true
while (line = $stdin.gets)
  command, *numbers = line.split
  puts JSON.generate(commands.fetch(command).call(*numbers.map(&:to_i)))
end
