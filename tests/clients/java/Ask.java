import java.sql.*;
import java.util.*;

/** Asks ClickHouse through JDBC, as DBeaver and Metabase do, and prints what it found as lines of name, tab, value: Ask URL. */
public class Ask {
    public static void main(String[] arguments) throws Exception {
        String url = arguments[0];
        try (Connection connection = DriverManager.getConnection(url)) {
            describe(connection.getMetaData());
            rows(connection);
            // A database is a schema to the driver, to its first version a catalog.
            say("schema", connection.getSchema() == null ? connection.getCatalog() : connection.getSchema());
            say("valid", connection.isValid(5));
            refusals(connection);
            say("cancelled", cancelled(connection));
        }
        sessions(url);
        stranger(url);
    }

    static void describe(DatabaseMetaData metadata) throws SQLException {
        say("product", metadata.getDatabaseProductName());
        say("major", metadata.getDatabaseMajorVersion());
        say("types", count(metadata.getTypeInfo()) > 20);
        say("schemas", count(metadata.getSchemas()) + count(metadata.getCatalogs()) > 0);
        say("tables", count(metadata.getTables(null, "system", "one", null)));
        say("columns", count(metadata.getColumns(null, "system", "one", null)));
        say("keys", count(metadata.getPrimaryKeys(null, "system", "one")));
        say("functions", count(metadata.getFunctions(null, null, "toDate")) >= 0);
    }

    static void rows(Connection connection) throws SQLException {
        try (Statement statement = connection.createStatement()) {
            statement.execute("DROP TABLE IF EXISTS jdbc_rows");
            statement.execute("CREATE TABLE jdbc_rows (ts DateTime64(3, 'UTC'), n UInt64, name String, low"
                    + " LowCardinality(String), maybe Nullable(Int32)) ENGINE = MergeTree ORDER BY n");
            try (PreparedStatement insert = connection.prepareStatement("INSERT INTO jdbc_rows VALUES (?, ?, ?, ?, ?)")) {
                for (int i = 0; i < 5000; i++) {
                    insert.setString(1, "2026-01-02 03:04:05.678");
                    insert.setLong(2, i);
                    insert.setString(3, "it's name " + i);
                    insert.setString(4, "low " + i % 3);
                    insert.setObject(5, i % 2 == 0 ? null : -i);
                    insert.addBatch();
                }
                say("inserted", insert.executeBatch().length);
            }
            try (PreparedStatement select = connection.prepareStatement("SELECT ts, n, name, low, maybe FROM jdbc_rows WHERE n = ?")) {
                select.setLong(1, 7);
                try (ResultSet row = select.executeQuery()) {
                    row.next();
                    say("row", row.getString(2) + "," + row.getString(3) + "," + row.getString(4) + "," + row.getInt(5));
                    say("ts", row.getString(1));
                }
            }
            long sum = 0;
            try (ResultSet all = statement.executeQuery("SELECT number, toString(number) FROM numbers(300000)")) {
                while (all.next()) {
                    sum += all.getLong(1);
                }
            }
            say("sum", sum);
            statement.execute("DROP TABLE jdbc_rows");
        }
    }

    static void refusals(Connection connection) throws SQLException {
        for (String sql : List.of("SELECT * FROM nowhere", "SELECT throwIf(1, 'no')", "CREATE USER u",
                "SELECT sleep(2) SETTINGS max_execution_time = 1", "SELEC")) {
            say("refused", refusal(connection, sql));
        }
    }

    /** The code of the error that a query ends with when its user presses the button. */
    static int cancelled(Connection connection) throws Exception {
        try (Statement statement = connection.createStatement()) {
            Thread button = new Thread(() -> {
                try {
                    Thread.sleep(1000);
                    statement.cancel();
                } catch (Exception error) {
                    say("cancel", error);
                }
            });
            button.start();
            try {
                statement.executeQuery("SELECT sum(sleepEachRow(0.2)) FROM numbers(100) SETTINGS max_block_size = 1").next();
                return 0;
            } catch (SQLException error) {
                return error.getErrorCode();
            } finally {
                button.join();
            }
        }
    }

    static void sessions(String url) throws SQLException {
        Properties properties = new Properties();
        boolean isV1 = Boolean.getBoolean("clickhouse.jdbc.v1");
        properties.setProperty(isV1 ? "session_id" : "clickhouse_setting_session_id", isV1 ? "jdbc v1" : "jdbc v2");
        try (Connection connection = DriverManager.getConnection(url, properties); Statement statement = connection.createStatement()) {
            statement.execute("CREATE TEMPORARY TABLE kept (n UInt8)");
            statement.execute("INSERT INTO kept VALUES (1), (2)");
            try (ResultSet row = statement.executeQuery("SELECT sum(n) FROM kept")) {
                row.next();
                say("kept", row.getInt(1));
            }
        }
    }

    static void stranger(String url) {
        Properties properties = new Properties();
        properties.setProperty("user", "reporting");
        properties.setProperty("password", "secret");
        try (Connection connection = DriverManager.getConnection(url, properties)) {
            say("stranger", refusal(connection, "SELECT 1"));
        } catch (SQLException error) {
            say("stranger", words(error));
        }
    }

    static String refusal(Connection connection, String sql) {
        try (Statement statement = connection.createStatement(); ResultSet rows = statement.executeQuery(sql)) {
            rows.next();
            return "";
        } catch (SQLException error) {
            String text = error.getErrorCode() + " " + words(error);
            return text.substring(0, Math.min(text.length(), 300));
        }
    }

    static String words(Throwable error) {
        StringBuilder text = new StringBuilder();
        for (Throwable cause = error; cause != null; cause = cause.getCause()) {
            text.append(cause.getMessage()).append(' ');
        }
        return text.toString().replaceAll("\\s+", " ");
    }

    static int count(ResultSet rows) throws SQLException {
        int found = 0;
        while (rows.next()) {
            found++;
        }
        rows.close();
        return found;
    }

    static void say(String name, Object value) {
        System.out.println(name + "\t" + value);
    }
}
