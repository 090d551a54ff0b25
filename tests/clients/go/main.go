// Asks ClickHouse through clickhouse-go's HTTP protocol, as Grafana's plugin does, and prints what it found as JSON.
//
//	go run . ADDRESS PLAIN|LZ4|ZSTD|GZIP
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

var methods = map[string]*clickhouse.Compression{
	"PLAIN": nil,
	"LZ4":   {Method: clickhouse.CompressionLZ4},
	"ZSTD":  {Method: clickhouse.CompressionZSTD},
	"GZIP":  {Method: clickhouse.CompressionGZIP, Level: 3},
}

func main() {
	found, err := ask(os.Args[1], os.Args[2])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	json.NewEncoder(os.Stdout).Encode(found)
}

func connect(address, method string, auth clickhouse.Auth) (driver.Conn, error) {
	return clickhouse.Open(&clickhouse.Options{
		Protocol: clickhouse.HTTP, Addr: []string{address}, Auth: auth, Compression: methods[method],
	})
}

func ask(address, method string) (map[string]any, error) {
	ctx := context.Background()
	found := map[string]any{}
	conn, err := connect(address, method, clickhouse.Auth{})
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if err := conn.Ping(ctx); err != nil {
		return nil, fmt.Errorf("ping: %w", err)
	}
	version, err := conn.ServerVersion()
	if err != nil {
		return nil, err
	}
	found["major"], found["zone"] = version.Version.Major, version.Timezone.String()
	if err := insert(ctx, conn); err != nil {
		return nil, fmt.Errorf("insert: %w", err)
	}
	var (
		n, rows uint64
		moment  time.Time
		name    string
		low     string
		maybe   *int32
		list    []string
		props   map[string]string
	)
	row := conn.QueryRow(ctx, "SELECT ts, n, name, low, maybe, list, props FROM go_rows WHERE n = ? AND name = ?", uint64(7), "name 7")
	if err := row.Scan(&moment, &n, &name, &low, &maybe, &list, &props); err != nil {
		return nil, fmt.Errorf("select: %w", err)
	}
	found["row"] = []any{moment.UTC().Format(time.RFC3339Nano), n, name, low, maybe, list, props}
	if rows, found["sum"], err = stream(ctx, conn); err != nil {
		return nil, fmt.Errorf("stream: %w", err)
	}
	found["streamed"] = rows
	empty, err := conn.Query(ctx, "SELECT n FROM go_rows WHERE n > 1000000")
	if err != nil {
		return nil, fmt.Errorf("empty: %w", err)
	}
	found["empty"] = !empty.Next() && empty.Err() == nil
	found["refused"] = text(conn.Exec(ctx, "SELECT * FROM nowhere"))
	found["refused_query"] = text(conn.QueryRow(ctx, "SELECT throwIf(1, 'no')").Scan(&n))
	found["stranger"] = stranger(ctx, address, method)
	return found, conn.Exec(ctx, "DROP TABLE go_rows")
}

func insert(ctx context.Context, conn driver.Conn) error {
	err := conn.Exec(ctx, `CREATE TABLE go_rows (ts DateTime64(3, 'UTC'), n UInt64, name String, low LowCardinality(String),
		maybe Nullable(Int32), list Array(String), props Map(String, String)) ENGINE = MergeTree ORDER BY n`)
	if err != nil {
		return err
	}
	batch, err := conn.PrepareBatch(ctx, "INSERT INTO go_rows")
	if err != nil {
		return err
	}
	began := time.Date(2026, 1, 2, 3, 4, 5, 678_000_000, time.UTC)
	for i := range 100_000 {
		maybe := int32(-i)
		err := batch.Append(began, uint64(i), fmt.Sprintf("name %d", i), fmt.Sprintf("low %d", i%3), &maybe,
			[]string{"a", "b"}, map[string]string{"plan": "pro"})
		if err != nil {
			return err
		}
	}
	return batch.Send()
}

func stream(ctx context.Context, conn driver.Conn) (rows, sum uint64, err error) {
	all, err := conn.Query(ctx, "SELECT n, name FROM go_rows")
	if err != nil {
		return 0, 0, err
	}
	defer all.Close()
	for all.Next() {
		var n uint64
		var name string
		if err := all.Scan(&n, &name); err != nil {
			return 0, 0, err
		}
		rows, sum = rows+1, sum+n
	}
	return rows, sum, all.Err()
}

func stranger(ctx context.Context, address, method string) string {
	conn, err := connect(address, method, clickhouse.Auth{Username: "reporting", Password: "secret"})
	if err != nil {
		return text(err)
	}
	defer conn.Close()
	return text(conn.Ping(ctx))
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
